// Space comes back: two backups, one deleted, and the function that the clock wakes. What belongs to others stays.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Condition } from '#shared/api/kinds.ts'
import { fenceSession } from '#shared/repository/core/fence.ts'
import type { Repository } from '#shared/repository/core/repository.ts'
import { sealSession } from '#shared/repository/format/markers.ts'
import { unreachableObjects } from '#shared/repository/maintenance/prune.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { type Backup, backUp, claimRepository, remove, restore } from '#test/environment/main-job.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'
import { openRepository } from '#test/environment/storage/repository.ts'
import type { Volume } from '#test/environment/storage/volume.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const MIB = 2 ** 20
const CLAIM = { namespace: 'shop', name: 'orders' }
/** A session of another cluster, of which this cluster's functions have no record. */
const FOREIGN = `${'a'.repeat(16)}-${'b'.repeat(16)}-018bcfe56800-00000001`

const prune = suite('prune by the function')
let environment: Environment
let main: string
let volume: Volume
let first: Backup
let second: Backup
let repository: Repository
let neighbours: string[]

const pruned = (object: LooseObject | undefined): Condition | undefined =>
  object?.['status']?.conditions?.find(({ type }: Condition) => type === 'Pruned')

const keysBelow = async (prefix: string) => (await environment.bucketObjects(prefix)).map(({ key }) => key).sort()
const bytesOfPacks = async () => {
  const packs = await environment.bucketObjects('plugins/dormouse/packs/')
  return packs.reduce((sum, { bytes }) => sum + bytes, 0)
}

/** Wakes maintenance, and waits until both repositories report a prune. */
async function pruneAll(reason: string): Promise<void> {
  await environment.ping('dormouse-maintenance')
  const isPruned = (object: LooseObject | undefined) => pruned(object)?.reason === reason
  await environment.waitFor('BackupRepository', undefined, main, isPruned, 60_000)
}

prune.before(async () => {
  environment = await startEnvironment({ pingEveryMs: { 'dormouse-maintenance': 0 } })
  main = await claimRepository(environment)
  const other = await claimRepository(environment, { prefix: 'other' })
  volume = await environment.createVolume({ ...CLAIM, sizeBytes: 32 * MIB })
  await writePieces(volume.file, [{ offsetBytes: MIB, data: noise('first', 6 * MIB) }])
  first = await backUp(environment, CLAIM, main)
  await backUp(environment, CLAIM, other)
  // All of it, although a pack stays whole while a part of it is used.
  await writePieces(volume.file, [{ offsetBytes: MIB, data: noise('second', 6 * MIB) }])
  second = await backUp(environment, CLAIM, main)
  repository = await openRepository(environment)
  neighbours = await keysBelow('other/')
})
prune.after(async () => {
  await environment.stop()
})

prune('the space of a deleted backup comes back, and the other one restores byte-equal', async () => {
  const before = await bytesOfPacks()
  await remove(environment, first)
  assert.is(await bytesOfPacks(), before, 'a deletion alone frees nothing')
  await pruneAll('Pruned')
  const freed = before - (await bytesOfPacks())
  assert.ok(freed > 5 * MIB, `${freed} bytes`)
  assert.equal(await unreachableObjects(repository), [])
  const restored = await restore(environment, second, 'again')
  assert.is(await sha256(restored.volume.file), await sha256(volume.file))
})

prune('a repository beside it is left as it was', async () => {
  assert.ok(neighbours.length > 5)
  assert.equal(await keysBelow('other/'), neighbours)
})

prune('a running session of another cluster is waited for, and nothing of it is touched', async () => {
  await repository.store.putIfAbsent(`session/${FOREIGN}`, sealSession(repository.keys, FOREIGN, 0))
  await repository.store.putIfAbsent(`packs/${FOREIGN}/00000000000000ff`, Buffer.alloc(1000))
  await repository.store.putIfAbsent(`checkpoint/${FOREIGN}/00000001-0001`, Buffer.alloc(10))
  const packs = await bytesOfPacks()
  await remove(environment, second)
  await pruneAll('SessionsRunning')
  assert.is(await bytesOfPacks(), packs)
  assert.is((await keysBelow('plugins/dormouse/')).filter((key) => key.includes(FOREIGN)).length, 3)
})

prune('once that session is deleted, nothing is left but what the format keeps', async () => {
  await fenceSession(repository, FOREIGN, 'forgotten', 0)
  await pruneAll('Pruned')
  assert.equal(await unreachableObjects(repository), [])
  assert.equal(
    [...new Set((await keysBelow('plugins/dormouse/')).map((key) => key.split('/')[2]))],
    ['config', 'keys', 'roots', 'session'],
  )
})

prune.run()
