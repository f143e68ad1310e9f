// The invariants that must hold after every write, and at the end of a run.

import * as assert from 'uvu/assert'
import { CLONE_NEXT } from '#shared/domain/clone.ts'
import { DELETE_NEXT } from '#shared/domain/delete.ts'
import { DOWNLOAD_NEXT } from '#shared/domain/download.ts'
import { parseClaimSnapshotId, unwrapToDisk } from '#shared/domain/ids.ts'
import { SNAPSHOT_NEXT } from '#shared/domain/snapshot.ts'
import { isOver } from '#shared/domain/sweep.ts'
import { UPLOAD_NEXT } from '#shared/domain/upload.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { diskBytes } from './objects.ts'
import type { World } from './world.ts'

const TABLES: Record<string, Record<string, readonly string[]>> = {
  Upload: UPLOAD_NEXT,
  Snapshot: SNAPSHOT_NEXT,
  Download: DOWNLOAD_NEXT,
  CloneFromSnapshot: CLONE_NEXT,
  DeleteSnapshot: DELETE_NEXT,
}

/** Checks every write, and collects violations in `world.broken`. Violations that the bucket and the disks find are added there too. */
export function guard(world: World): void {
  world.cluster.onWrite((kind, before, after) => {
    const from = before?.['status']?.phase ?? 'New'
    const to = after?.['status']?.phase ?? 'New'
    const table = TABLES[kind]
    if (kind === 'PersistentVolume' && after !== undefined) checkOneVolume(world, after)
    const moved = after !== undefined && from !== to
    if (table !== undefined && before !== undefined && moved && table[from]?.includes(to) !== true)
      world.broken.push(`${kind} ${from} -> ${to}`)
    if (!moved) return
    if (kind === 'Snapshot' && to === 'Snapshotted') noteExpected(world, after)
    if (kind === 'Upload' && to === 'Completed') checkCompleted(world, after)
    if (kind === 'DeleteSnapshot' && to === 'Completed') checkDeleted(world, after)
    if (kind === 'PersistentVolumeClaim' && to === 'Bound') checkBound(world, after)
  })
}

/** A backup must restore to the bytes of its disk snapshot. */
function noteExpected(world: World, snapshot: LooseObject): void {
  const { disk } = parseClaimSnapshotId(snapshot['status'].snapshotID)
  world.bucket.expected.set(disk.snapshotId, diskBytes(world, disk.fcdId, disk.snapshotId))
}

/** Each root was restored when it was sealed. Here it is enough that it still exists, and that the local snapshot is gone. */
function checkCompleted(world: World, upload: LooseObject): void {
  const { fcdId, snapshotId } = unwrapToDisk(upload['spec'].snapshotID)
  if (world.bucket.rootAt(upload['status'].root) === undefined)
    world.broken.push('an upload is Completed, but no backup is sealed')
  if (world.volumes.snapshotsOf(fcdId).some((each) => each.snapshotId === snapshotId))
    world.broken.push('an upload is Completed, but its disk snapshot is still there')
}

function checkDeleted(world: World, request: LooseObject): void {
  const { fcdId, snapshotId } = unwrapToDisk(request['spec'].snapshotID)
  const upload = world.cluster.peek('Upload', 'velero', `upload-${snapshotId}`)
  if (upload !== undefined && !isOver({ ...upload, kind: 'Upload' }))
    world.broken.push('a DeleteSnapshot is Completed, but its upload is not over')
  if (world.bucket.backupOf(snapshotId) !== undefined)
    world.broken.push('a DeleteSnapshot is Completed, but the backup is still there')
  if (world.volumes.snapshotsOf(fcdId).some((each) => each.snapshotId === snapshotId))
    world.broken.push('a DeleteSnapshot is Completed, but the disk snapshot is still there')
}

/** A user's claim, not the staging claim, must get the whole data. */
function checkBound(world: World, claim: LooseObject): void {
  const isRestored = claim.metadata.labels?.['dormouse.dev/clone-uid'] !== undefined
  if (!isRestored || claim.metadata.name.startsWith('dormouse-')) return
  const volume = world.cluster.peek('PersistentVolume', undefined, claim['spec'].volumeName)
  const clone = world.cluster
    .peekAll('CloneFromSnapshot')
    .find((each) => each.metadata.uid === claim.metadata.labels?.['dormouse.dev/clone-uid'])
  const fcdId = String(volume?.['spec']?.csi?.volumeHandle)
  world.disks.handedOver.add(fcdId)
  if (clone === undefined) return
  const wanted = world.bucket.expected.get(unwrapToDisk(clone['spec'].snapshotID).snapshotId)
  if (wanted === undefined || !diskBytes(world, fcdId).equals(wanted))
    world.broken.push("a user's claim was bound to data that is not whole")
}

/** With two volume objects for one disk, the driver's inventory loses the disk when one of them goes, although it is in use. */
function checkOneVolume(world: World, volume: LooseObject): void {
  const handle = volume['spec'].csi.volumeHandle
  const count = world.cluster.peekAll('PersistentVolume').filter((each) => each['spec']?.csi?.volumeHandle === handle)
  if (count.length > 1) world.broken.push(`disk ${handle} has two volume objects`)
}

/** `keeps`: disk snapshots that may exist at the end. */
export function assertNothingLeft(world: World, keeps: ReadonlySet<string> = new Set()): void {
  for (const fcdId of world.volumes.diskIds) {
    const left = world.volumes.snapshotsOf(fcdId).filter((snapshot) => !keeps.has(snapshot.snapshotId))
    assert.equal(left, [], `disk ${fcdId} keeps a snapshot`)
  }
  const held = world.volumes.diskIds.filter((fcdId) => world.disks.held.has(fcdId))
  assert.equal(held, [], 'a disk is still kept from migrating')
  assert.equal(world.heldLeases, [], 'a Lease is held')
  for (const kind of Object.keys(TABLES) as (keyof typeof TABLES & 'Snapshot')[]) {
    for (const object of world.cluster.peekAll(kind))
      assert.is(object.metadata.finalizers, undefined, `${kind} ${object.metadata.name} keeps a finalizer`)
  }
  // Late writes of a paused pod are no exception after a prune: the runs end with one (assertNothingUnreachable).
  assert.equal(world.bucket.checkpoints, [], 'a checkpoint is left')
  const staging = world.cluster.peekAll('PersistentVolumeClaim').filter(isStaging)
  assert.equal(
    staging.map((claim) => claim.metadata.name),
    [],
    'a staging claim is left',
  )
  const disks = new Set(world.cluster.peekAll('PersistentVolume').map((each) => each['spec']?.csi?.volumeHandle))
  assert.equal(
    world.volumes.diskIds.filter((fcdId) => !disks.has(fcdId)),
    [],
    'a disk has no volume',
  )
}

export function isStaging(claim: LooseObject): boolean {
  return claim.metadata.name.startsWith('dormouse-')
}
