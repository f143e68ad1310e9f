// The disk snapshot of a backup is removed together with a second copy that a run left which died before it recorded it, and with nothing else.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { VolumeDeps } from '#shared/controllers/deps.ts'
import { removeLocalSnapshot } from '#shared/controllers/local-snapshot.ts'
import { snapshotDescription } from '#shared/domain/orphans.ts'
import { systemClock } from '#shared/kernel/clock.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import { MiB } from '#shared/kernel/units.ts'
import { MemoryVolumes } from '#shared/providers/memory/volumes.ts'

const removal = suite('the removal of a disk snapshot')

const OURS = snapshotDescription('cluster', 'uid-1')

async function aDisk(descriptions: string[], failsAt = 0) {
  const volumes = new MemoryVolumes({ clock: systemClock })
  const fcdId = volumes.createDisk(MiB)
  for (const description of descriptions) await volumes.startSnapshot(fcdId, description)
  let calls = 0
  const start = volumes.startDeleteSnapshot.bind(volumes)
  volumes.startDeleteSnapshot = async (...args) => {
    calls++
    if (calls === failsAt) throw new RetryableError('VCenterUnreachable', 'away')
    return await start(...args)
  }
  const left = async () => (await volumes.listSnapshots(fcdId)).map(({ description }) => description)
  const [first] = await volumes.listSnapshots(fcdId)
  const remove = async () => {
    const deps = { volumes, clock: systemClock, clusterId: async () => 'cluster' } as unknown as VolumeDeps
    return await removeLocalSnapshot(deps, fcdId, first!.snapshotId, new AbortController().signal)
  }
  return { left, remove }
}

removal('a second disk snapshot of the same name is removed, too', async () => {
  const { left, remove } = await aDisk([OURS, OURS])
  await remove()
  assert.equal(await left(), [])
})

removal('also when vCenter refuses one of the two, and it is tried again', async () => {
  for (const failsAt of [1, 2]) {
    const { left, remove } = await aDisk([OURS, OURS], failsAt)
    await remove().then(
      () => assert.unreachable(),
      (error: RetryableError) => assert.is(error.reason, 'VCenterUnreachable'),
    )
    await remove()
    assert.equal(await left(), [], `the call ${failsAt} failed`)
  }
})

removal('other backups’ and other clusters’ snapshots stay', async () => {
  const others = [snapshotDescription('cluster', 'uid-2'), snapshotDescription('other', 'uid-1'), `${OURS}/keep`]
  const { left, remove } = await aDisk([OURS, ...others])
  await remove()
  assert.equal(await left(), others)
})

removal('a disk snapshot that this cluster has not made stays, whoever asks', async () => {
  const others = [
    'by hand',
    '',
    'dormouse/',
    'dormouse/cluster/',
    snapshotDescription('cluster-2', 'uid-1'),
    snapshotDescription('other', 'uid-1', true),
    snapshotDescription('other/cluster', 'uid-1'),
    `/${OURS}`,
    `${OURS}/keep/keep`,
    `${OURS}/x`,
  ]
  for (const description of others) {
    const { left, remove } = await aDisk([description, description])
    assert.is(await remove(), 'foreign', description)
    assert.equal(await left(), [description, description])
  }
})

removal('a disk snapshot that is kept as a backup is removed on request', async () => {
  const { left, remove } = await aDisk([`${OURS}/keep`])
  assert.is(await remove(), 'gone')
  assert.equal(await left(), [])
})

removal.run()
