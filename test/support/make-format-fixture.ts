// Writes test/fixtures/format/v1, a small repository of format 1. It ran when the format was frozen, and the result is
// kept: later versions must read it. Usage: node test/support/make-format-fixture.ts FOLDER

import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { requireRepository } from '#shared/repository/core/repository.ts'
import { sealRetireList } from '#shared/repository/format/markers.ts'
import { retireKey } from '#shared/repository/format/names.ts'
import { folderStore } from '#test/support/stores.ts'
import { access, bytesOf, CHUNK_BYTES, EngineWorld } from './engine-world.ts'
import { HookedStore } from './store-faults.ts'
import { applyChanges } from './volume-history.ts'

const [folder] = process.argv.slice(2)
if (folder === undefined) throw new Error('usage: node test/support/make-format-fixture.ts FOLDER')
mkdirSync(folder, { recursive: true })
const store = folderStore(join(folder, 'repository'))
const world = new EngineWorld(store)
await world.repositories.ensure(access, { kind: 'passphrase', passphrase: 'on paper' })

const content = new MemoryDiskContent(40 * CHUNK_BYTES + 512, CHUNK_BYTES)
const backups: { root: string; sha256: string }[] = []
for (const [fill, mode] of [
  [2, 'Allocated'],
  [21, 'Changed'],
  [3, 'Everything'],
] as const) {
  const sector = fill * 3
  const changedAreas = applyChanges(content, [
    { kind: 'write', sector, sectors: 100, fill },
    { kind: 'write', sector: 320, sectors: 1, fill: fill + 30 },
  ])
  const root = await world.backup(content, `snapshot-${fill}`, {
    changedAreas: mode === 'Changed' ? changedAreas : undefined,
    tellsAllocation: mode !== 'Everything',
    parentRoot: backups.at(-1)?.root,
  })
  backups.push({ root, sha256: createHash('sha256').update(bytesOf(content)).digest('hex') })
}
// A session that stopped half-way, one that was given up, and packs that are to be deleted.
applyChanges(content, [{ kind: 'write', sector: 0, sectors: 321, fill: 25 }])
const stopped = await world.newSession('snapshot-stopped')
const stop = new AbortController()
const stopping = new HookedStore(store, async ({ key }) => {
  if (key.startsWith('packs/')) stop.abort()
  return 'go on'
})
const slices = new EngineWorld(stopping)
const request = { content, session: stopped, snapshotId: 'snapshot-stopped', signal: stop.signal, workers: 1 }
const { state } = await slices.uploadSlice(request)
if (state !== 'more') throw new Error('the session was to be stopped in its middle, try again')
await world.repositories.abandon(access, await world.newSession('snapshot-abandoned'))
const { keys } = await requireRepository(store, access.password)
const retired = `${stopped}/0123456789abcdef`
await store.putIfAbsent(retireKey('0001'), sealRetireList(keys, '0001', [retired], 1_700_000_000_000))

const expected = {
  password: access.password,
  recoveryPassphrase: 'on paper',
  backups,
  stopped: { session: stopped, sha256: createHash('sha256').update(bytesOf(content)).digest('hex') },
  retired,
}
writeFileSync(join(folder, 'expected.json'), `${JSON.stringify(expected, undefined, 2)}\n`)
