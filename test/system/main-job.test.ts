// A whole job on a small volume, over everything that is real: two backups, a loss, restores, a deletion.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { type Backup, backUp, claimRepository, remove, restore } from '#test/environment/main-job.ts'
import { allocatedBytes, noise, prose, sha256, writePieces } from '#test/environment/storage/content.ts'
import type { Volume } from '#test/environment/storage/volume.ts'

const MIB = 2 ** 20
const SIZE_BYTES = 64 * MIB
const CLAIM = { namespace: 'shop', name: 'orders' }

const job = suite('the main job')
let environment: Environment
let repository: string
let volume: Volume
let first: Backup
let second: Backup
const hashes: string[] = []

job.before(async () => {
  environment = await startEnvironment()
})
job.after(async () => {
  await environment.stop()
})

job('a claim gets a repository in the bucket', async () => {
  repository = await claimRepository(environment)
  assert.match(repository, /^br-/)
  assert.ok((await environment.bucketObjects()).some(({ key }) => key === 'plugins/dormouse/config'))
})

job('a Snapshot ends as Uploaded, with its data in the bucket and no local snapshot left', async () => {
  volume = await environment.createVolume({ ...CLAIM, sizeBytes: SIZE_BYTES })
  await writePieces(volume.file, [
    { offsetBytes: 0, data: prose('orders', 8 * MIB) },
    { offsetBytes: 20 * MIB, data: noise('orders', 12 * MIB) },
    { offsetBytes: SIZE_BYTES - 4096, data: noise('end', 4096) },
  ])
  hashes.push(await sha256(volume.file))
  first = await backUp(environment, CLAIM, repository)
  assert.is(first.phases.at(-1), 'Uploaded')
  assert.equal((await environment.vcenter.disk(volume.fcdId))?.snapshots, [])
  const roots = await environment.bucketObjects('plugins/dormouse/roots/')
  assert.is(roots.length, 1)
})

job('a second backup reads and sends what changed', async () => {
  await writePieces(volume.file, [{ offsetBytes: 24 * MIB, data: noise('change', MIB) }])
  hashes.push(await sha256(volume.file))
  second = await backUp(environment, CLAIM, repository)
  assert.ok(second.progress.bytesRead! <= 2 * MIB, `read ${second.progress.bytesRead} bytes for a change of 1 MiB`)
  assert.ok(second.progress.bytesSent! <= 3 * MIB, `sent ${second.progress.bytesSent} bytes for a change of 1 MiB`)
})

job('after the loss each backup restores, byte for byte, and holes are holes', async () => {
  const sourceBytes = await allocatedBytes(volume.file)
  await environment.kubectl('delete', 'pvc', CLAIM.name, '-n', CLAIM.namespace)
  await environment.waitFor('PersistentVolume', undefined, volume.volumeName, (object) => object === undefined)
  assert.is(await environment.vcenter.disk(volume.fcdId), undefined)
  for (const [index, backup] of [first, second].entries()) {
    const restored = await restore(environment, backup, `restored-${index}`)
    assert.is(await sha256(restored.volume.file), hashes[index])
    assert.ok((await allocatedBytes(restored.volume.file)) <= sourceBytes + MIB, 'the restored volume is sparse')
  }
})

job('a restored claim was never Bound before its data was whole', async () => {
  const namespace = 'watched'
  await environment.createNamespace(namespace)
  const claims = await environment.record('PersistentVolumeClaim', namespace)
  const clones = await environment.record('CloneFromSnapshot', namespace)
  await restore(environment, second, namespace)
  const boundMs = claims.of(CLAIM.name).find(({ object }) => object['status']?.phase === 'Bound')?.atMs
  const downloads = await environment.api.list('datamover.cnsdp.vmware.com/v1alpha1', 'Download', 'velero')
  const completed = downloads.map(({ status }) => Date.parse(status.completionTimestamp))
  // Times in a status have whole seconds.
  assert.ok(boundMs! + 1000 >= Math.max(...completed), 'its Download was completed first')
  assert.is(clones.seen.at(-1)?.object['status'].phase, 'Completed')
})

job('one backup is deleted, the other still restores', async () => {
  await remove(environment, first)
  const restored = await restore(environment, second, 'after-delete')
  assert.is(await sha256(restored.volume.file), hashes[1])
})
job.run()
