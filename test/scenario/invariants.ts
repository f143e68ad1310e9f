// What must hold after every write, and at the end.

import * as assert from 'uvu/assert'
import { CLONE_NEXT } from '#shared/domain/clone.ts'
import { DELETE_NEXT } from '#shared/domain/delete.ts'
import { DOWNLOAD_NEXT } from '#shared/domain/download.ts'
import { SNAPSHOT_NEXT } from '#shared/domain/snapshot.ts'
import { UPLOAD_NEXT } from '#shared/domain/upload.ts'
import type { World } from './world.ts'

const TABLES: Record<string, Record<string, readonly string[]>> = {
  Upload: UPLOAD_NEXT,
  Snapshot: SNAPSHOT_NEXT,
  Download: DOWNLOAD_NEXT,
  CloneFromSnapshot: CLONE_NEXT,
  DeleteSnapshot: DELETE_NEXT,
}

/** Looks at every write; what is broken is collected in the list it returns. */
export function guard(world: World): string[] {
  const broken: string[] = []
  world.cluster.onWrite((kind, before, after) => {
    const from = before?.['status']?.phase ?? 'New'
    const to = after?.['status']?.phase ?? 'New'
    const table = TABLES[kind]
    const moved = table !== undefined && before !== undefined && after !== undefined && from !== to
    if (moved && table[from]?.includes(to) !== true) broken.push(`${kind} ${from} -> ${to}`)
    if (kind === 'Upload' && to === 'Completed' && from !== to) {
      const root = world.vault.roots.get(after?.['status'].root)
      if (root?.kind !== 'backup') broken.push('an upload is Completed, but no backup is sealed')
    }
    const userClaim =
      kind === 'PersistentVolumeClaim' &&
      after?.metadata.namespace === 'restored' &&
      !after.metadata.name.startsWith('dormouse-')
    if (
      userClaim &&
      to === 'Bound' &&
      !world.cluster.peekAll('Download').some((download) => download['status'].phase === 'Completed')
    ) {
      broken.push('a claim was bound before its download was whole')
    }
  })
  return broken
}

export function assertNothingLeft(world: World): void {
  for (const fcdId of world.volumes.diskIds)
    assert.equal(world.volumes.snapshotsOf(fcdId), [], `disk ${fcdId} keeps a snapshot`)
  const held = world.cluster.peekAll('Lease').filter((lease) => lease['spec']?.holderIdentity)
  assert.equal(
    held.map((lease) => lease.metadata.name),
    [],
    'a Lease is held',
  )
  for (const kind of ['Snapshot', 'Upload', 'CloneFromSnapshot', 'Download', 'DeleteSnapshot'] as const) {
    for (const object of world.cluster.peekAll(kind))
      assert.is(object.metadata.finalizers, undefined, `${kind} ${object.metadata.name} keeps a finalizer`)
  }
  assert.equal(world.vault.checkpoints.size, 0, 'a checkpoint is left')
}
