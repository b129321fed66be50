"""Which versions of which models are loaded, and the loop that loads and unloads them.

`versions`, `config_rules`, `labels`, `lifecycle`, `plan`, `ledger` and `outcome`
decide and do nothing else. `folders` reads the disk, `crew` loads and unloads in threads (`jobs`),
`rounds` sleeps until something is due, `herald` tells what happened; `catalog` joins them.
"""
