// What a second backup reads and sends: with changed block tracking only what changed, without it only what is allocated.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { type Backup, backUp, claimRepository, restore } from '#test/environment/main-job.ts'
import { allocatedBytes, noise, type Piece, prose, sha256, writePieces } from '#test/environment/storage/content.ts'
import type { Volume } from '#test/environment/storage/volume.ts'

const MIB = 2 ** 20
const KIB = 2 ** 10
const SIZE_BYTES = 256 * MIB
/** Chunks have 512 KiB: each end of a changed area is extended to a whole chunk. */
const CHUNK_BYTES = 512 * KIB
/** 2 % of the volume, in two runs that begin at odd places, as a database's files do. */
const CHANGES: Piece[] = [
  { offsetBytes: 10 * MIB + 64 * KIB, data: noise('change-1', 2.56 * MIB) },
  { offsetBytes: 90 * MIB + 192 * KIB, data: noise('change-2', 2.56 * MIB) },
]
const CHANGED_BYTES = CHANGES.reduce((sum, { data }) => sum + data.length, 0)

const changed = suite('what a second backup costs')
let environment: Environment
let repository: string

async function firstBackup(name: string, cbt: boolean): Promise<{ volume: Volume; first: Backup }> {
  const volume = await environment.createVolume({ namespace: 'shop', name, sizeBytes: SIZE_BYTES, cbt })
  await writePieces(volume.file, [
    { offsetBytes: 0, data: prose(name, 40 * MIB) },
    { offsetBytes: 80 * MIB, data: noise(name, 40 * MIB) },
  ])
  return { volume, first: await backUp(environment, { namespace: 'shop', name }, repository) }
}

async function secondBackup(volume: Volume, name: string): Promise<Backup> {
  await writePieces(volume.file, CHANGES)
  return await backUp(environment, { namespace: 'shop', name }, repository)
}

changed.before(async () => {
  environment = await startEnvironment()
  repository = await claimRepository(environment)
})
changed.after(async () => {
  await environment.stop()
})

changed('with tracking, a change of 2 % reads at most 2.5 % of the volume', async () => {
  const { volume, first } = await firstBackup('tracked', true)
  assert.is(first.upload['status'].mode, 'Allocated')
  const second = await secondBackup(volume, 'tracked')
  const read = second.progress.bytesRead ?? Number.NaN
  assert.is(second.upload['status'].mode, 'Changed')
  assert.is(second.upload['status'].parentRoot, first.upload['status'].root)
  assert.ok(read >= CHANGED_BYTES, `${read} bytes read, less than what changed`)
  assert.ok(read <= 0.025 * SIZE_BYTES, `${read} bytes read, ${((100 * read) / SIZE_BYTES).toFixed(2)} % of the volume`)
})

changed('without it, allocated areas are read and only changed chunks are sent', async () => {
  const { volume } = await firstBackup('untracked', false)
  const second = await secondBackup(volume, 'untracked')
  const { bytesRead = Number.NaN, bytesSent = Number.NaN } = second.progress
  assert.is(second.upload['status'].mode, 'Allocated')
  assert.ok(bytesRead >= 80 * MIB && bytesRead <= 84 * MIB, `${bytesRead} bytes read of 80 MiB that are allocated`)
  // Whole chunks, and a little for the map and the index.
  assert.ok(bytesSent <= CHANGED_BYTES + CHANGES.length * 2 * CHUNK_BYTES + MIB, `${bytesSent} bytes sent`)
  const copy = await restore(environment, second, 'untracked-copy')
  assert.is(await sha256(copy.volume.file), await sha256(volume.file))
  const [source, restored] = [await allocatedBytes(volume.file), await allocatedBytes(copy.volume.file)]
  assert.ok(restored <= source + CHUNK_BYTES, `sparse as the source: ${restored} bytes for ${source}`)
})

changed('what another volume stored already is not sent again', async () => {
  const volume = await environment.createVolume({ namespace: 'shop', name: 'twin', sizeBytes: SIZE_BYTES })
  await writePieces(volume.file, [{ offsetBytes: 80 * MIB, data: noise('tracked', 40 * MIB) }])
  const { bytesRead = Number.NaN, bytesSent = Number.NaN } = (
    await backUp(environment, { namespace: 'shop', name: 'twin' }, repository)
  ).progress
  assert.ok(bytesRead >= 40 * MIB, `${bytesRead} bytes read`)
  assert.ok(
    bytesSent <= 4 * MIB,
    `${bytesSent} bytes sent of 40 MiB that the repository holds, but for what changed in place`,
  )
})

changed.run()
