// What a DeleteSnapshot may stop, remove and forget: decided from all that was found for its id, before anything is touched. Its id is
// a user's word (docs/design/0004-trust.md).

import { isNamespaceName } from '#shared/api/names.ts'
import type { Upload } from '#shared/api/types.ts'
import { type Actor, decideDeletion, type Origin, requirePermitted, type Verdict } from './authority.ts'
import { unwrapToDisk } from './ids.ts'
import { snapshotUidIn } from './orphans.ts'
import { isUploadOver, seeUpload } from './upload.ts'

export type Found = {
  clusterId: string
  /** In Velero's namespace, of exactly this disk snapshot. */
  upload: Upload | undefined
  /** `about` undefined: it does not open. */
  roots: readonly { root: string; about: Origin | undefined }[]
  /** Of the disk snapshot, as vCenter lists it; undefined: it is not there. */
  description: string | undefined
  /** The disk belongs to a claim of the actor's namespace, by its PersistentVolume. */
  isOwnDisk: boolean
}

export type Removal = {
  /** An upload is at work, and is to be stopped first. */
  stopUpload: boolean
  diskSnapshot: 'remove' | 'gone' | 'foreign'
  /** These, and no other. */
  roots: string[]
  /** It is proved whose the disk snapshot is: its sessions may be fenced. */
  mayFence: boolean
}

const UNPROVED: Verdict = { allowed: false, why: 'nothing says that it was made for this namespace' }

/** TerminalError `NotPermitted` when one of the parts belongs to somebody else: then none of them is touched. */
export function decideRemoval(actor: Actor, found: Found): Removal {
  for (const { about } of found.roots) requirePermitted(onRoot(actor, about, found.clusterId), 'the backup stays')
  const proved = isProved(actor, found)
  const isAtWork = isUploadAtWork(found.upload)
  if (found.description !== undefined && !proved) {
    const what = isAtWork ? 'the disk snapshot and its upload stay' : 'the disk snapshot stays'
    requirePermitted(UNPROVED, what)
  }
  return {
    // Without a disk snapshot there is nothing to be uploaded, so that an Upload of others says nothing.
    stopUpload: isAtWork && (actor.kind === 'operator' || isNamedBy(actor, found.upload)),
    diskSnapshot: found.description === undefined ? 'gone' : isOurs(found) ? 'remove' : 'foreign',
    roots: found.roots.map(({ root }) => root),
    mayFence: proved,
  }
}

export function isUploadAtWork(upload: Upload | undefined): upload is Upload {
  return upload !== undefined && !isUploadOver(seeUpload(upload).phase)
}

/** False: it has the name that the disk snapshot's Upload would have, and moves something else. */
export function isUploadOf(upload: Upload, disk: { fcdId: string; snapshotId: string }): boolean {
  try {
    const named = unwrapToDisk(String(upload.spec?.snapshotID ?? ''))
    return named.fcdId === disk.fcdId && named.snapshotId === disk.snapshotId
  } catch {
    return false
  }
}

/** Whether the disk's PersistentVolume has to be asked whose the disk snapshot is: nothing else has proved it. */
export function needsVolume(actor: Actor, found: Omit<Found, 'isOwnDisk'>): boolean {
  return isOurs(found) && !isProved(actor, { ...found, isOwnDisk: false }) && !isUploadAtWork(found.upload)
}

function isProved(actor: Actor, found: Found): boolean {
  if (actor.kind === 'operator') return true
  const { upload } = found
  if (isUploadAtWork(upload) && found.description !== undefined) return isNamedBy(actor, upload)
  if (found.roots.length > 0) return true
  // One that has ended without a backup may have been made for any id: it proves nothing.
  const counts = isUploadAtWork(upload) || hasSealed(upload)
  return (counts && isNamedBy(actor, upload)) || (isOurs(found) && found.isOwnDisk)
}

function hasSealed(upload: Upload | undefined): boolean {
  const root: unknown = upload?.status?.root
  return typeof root === 'string' && root !== ''
}

function onRoot(actor: Actor, about: Origin | undefined, clusterId: string): Verdict {
  if (about !== undefined) return decideDeletion(actor, about, clusterId)
  if (actor.kind === 'operator') return { allowed: true, by: 'an object in the Velero namespace' }
  return { allowed: false, why: 'its root cannot be read, so that only operators can delete it' }
}

function isNamedBy(actor: Actor, upload: Upload | undefined): boolean {
  const [namespace] = String(upload?.spec?.snapshotReference ?? '').split('/', 1)
  return actor.kind !== 'operator' && isNamespaceName(namespace) && namespace === actor.namespace
}

function isOurs({ description, clusterId }: Pick<Found, 'description' | 'clusterId'>): boolean {
  return snapshotUidIn(description, clusterId) !== undefined
}
