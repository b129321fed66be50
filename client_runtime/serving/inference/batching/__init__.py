"""Running requests together: what forms a batch, and the threads that wait for one."""
