// Somebody has planted objects in a real server's bucket whose names XML cannot hold: no backup and no prune fails at them without a reason.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '#shared/kernel/clock.ts'
import type { RetryableError } from '#shared/kernel/errors.ts'
import { DAY_MS, HOUR_MS } from '#shared/kernel/units.ts'
import { MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { inParallel } from '#shared/repository/core/in-parallel.ts'
import { requireRepository } from '#shared/repository/core/repository.ts'
import { sessionInKey } from '#shared/repository/format/names.ts'
import { pruneRepository } from '#shared/repository/maintenance/prune.ts'
import { createS3Store } from '#shared/repository/stores/s3/store.ts'
import { access, CHUNK_BYTES, EngineWorld, FCD } from '#test/support/engine-world.ts'
import { applyChanges } from '#test/support/volume-history.ts'
import { settingsFor, startGateway } from './store-s3-support.ts'

const test = suite('prune: names that a server cannot tell')

test('a planted name with a control character stops no backup and no prune', async () => {
  const gateway = await startGateway(false)
  const store = createS3Store(settingsFor(gateway.s3), { retry: { attempts: 1 } })
  try {
    const world = await EngineWorld.create(store)
    const content = new MemoryDiskContent(40 * CHUNK_BYTES, CHUNK_BYTES)
    applyChanges(content, [{ kind: 'write', sector: 0, sectors: 200, fill: 7 }])
    const root = await world.backup(content.snapshot(), 's0')
    const repository = await requireRepository(store, access.password)
    const slot = `keys/${repository.config.repositoryId}-\u0001`
    const folders = ['index/', 'packs/', 'session/', 'retire/', 'waits/', 'doom/', 'checkpoint/', 'reach/']
    for (const key of [slot, `packs/${sessionInKey(root)}/\u0001`, ...folders.map((folder) => `${folder}\u0001`)])
      await store.putIfAbsent(key, Buffer.from('x'))
    for (const snapshot of ['s1', 's2']) await world.backup(content.snapshot(), snapshot)
    assert.is((await world.repositories.backupsOf(access, FCD)).length, 3)
    const options = { clock: systemClock, sliceMs: HOUR_MS, sessionIdleMs: DAY_MS }
    assert.is((await pruneRepository(repository, options)).state, 'done')
  } finally {
    store.close()
    await gateway.stop()
  }
})

test('a list that would continue at such a name, and so leave objects out, is refused', async () => {
  const gateway = await startGateway(false)
  const store = createS3Store(settingsFor(gateway.s3), { retry: { attempts: 1 } })
  try {
    const names = Array.from({ length: 1001 }, (_, n) => `index/\u0001${String(n).padStart(5, '0')}`)
    await inParallel([...names, 'index/aa'], 16, async (name) => void (await store.putIfAbsent(name, Buffer.from('x'))))
    const listed = await Array.fromAsync(store.list('index/')).catch((error: unknown) => error)
    // Other stores encode the place in their own way, and list everything.
    if (Array.isArray(listed)) assert.is(listed.length, 1002)
    else assert.is((listed as RetryableError).reason, 'S3AnswerUnreadable')
  } finally {
    store.close()
    await gateway.stop()
  }
})

test.run()
