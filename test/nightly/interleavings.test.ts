// Many more orders of prune, sessions, forgets and deaths than `make test` tries: test/unit/engine-prune-interleavings.test.ts.

process.env['SEEDS'] ??= '1000'
await import('../unit/engine-prune-interleavings.test.ts')
