// Decides what a DeleteSnapshot may stop, remove and delete, from everything that was found for its id, before anything is touched. A user
// wrote the id (docs/design/0004-trust.md).

import { parseNamespacedName } from '#shared/api/names.ts'
import type { Upload } from '#shared/api/types.ts'
import { type Actor, decideDeletion, type Origin, requirePermitted, type Verdict } from './authority.ts'
import { unwrapToDisk } from './ids.ts'
import { snapshotUidIn } from './orphans.ts'
import { isUploadOver, seeUpload } from './upload.ts'

export type Found = {
  clusterId: string
  /** The Upload in Velero's namespace for exactly this disk snapshot. */
  upload: Upload | undefined
  /** `about` undefined: the root cannot be opened. */
  roots: readonly { root: string; about: Origin | undefined }[]
  /** The description of the disk snapshot in vCenter; undefined: it does not exist. */
  description: string | undefined
  /** The disk belongs to a claim of the actor's namespace, according to its PersistentVolume. */
  isOwnDisk: boolean
}

export type Removal = {
  /** An upload is in progress and must be stopped first. */
  stopUpload: boolean
  diskSnapshot: 'remove' | 'gone' | 'foreign'
  /** Exactly these roots are deleted. */
  roots: string[]
  /** The owner of the disk snapshot is proved, so its sessions may be fenced. */
  mayFence: boolean
}

const UNPROVED: Verdict = { allowed: false, why: 'nothing says that it was made for this namespace' }

/** Throws TerminalError `NotPermitted` if one of the parts does not belong to the actor. Then none of them is touched. */
export function decideRemoval(actor: Actor, found: Found): Removal {
  for (const { about } of found.roots) requirePermitted(onRoot(actor, about, found.clusterId), 'the backup stays')
  const proved = isProved(actor, found)
  const isAtWork = isUploadAtWork(found.upload)
  if (found.description !== undefined && !proved) {
    const what = isAtWork ? 'the disk snapshot and its upload stay' : 'the disk snapshot stays'
    requirePermitted(UNPROVED, what)
  }
  return {
    // Without a disk snapshot there is nothing to upload, so an Upload of another namespace does not matter.
    stopUpload: isAtWork && (actor.kind === 'operator' || isNamedBy(actor, found.upload)),
    diskSnapshot: found.description === undefined ? 'gone' : isOurs(found) ? 'remove' : 'foreign',
    roots: found.roots.map(({ root }) => root),
    mayFence: proved,
  }
}

export function isUploadAtWork(upload: Upload | undefined): upload is Upload {
  return upload !== undefined && !isUploadOver(seeUpload(upload).phase)
}

/** False: the Upload has the name for this disk snapshot, but moves something else. */
export function isUploadOf(upload: Upload, disk: { fcdId: string; snapshotId: string }): boolean {
  try {
    const named = unwrapToDisk(String(upload.spec?.snapshotID ?? ''))
    return named.fcdId === disk.fcdId && named.snapshotId === disk.snapshotId
  } catch {
    return false
  }
}

/** Whether the disk's PersistentVolume is needed to find out who owns the disk snapshot, because nothing else has proved it. */
export function needsVolume(actor: Actor, found: Omit<Found, 'isOwnDisk'>): boolean {
  return isOurs(found) && !isProved(actor, { ...found, isOwnDisk: false }) && !isUploadAtWork(found.upload)
}

function isProved(actor: Actor, found: Found): boolean {
  if (actor.kind === 'operator') return true
  const { upload } = found
  if (isUploadAtWork(upload) && found.description !== undefined) return isNamedBy(actor, upload)
  if (found.roots.length > 0) return true
  // An Upload that has ended without a backup may have been made for any id: it proves nothing.
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
  const reference = parseNamespacedName(upload?.spec?.snapshotReference)
  return actor.kind !== 'operator' && reference !== undefined && reference.namespace === actor.namespace
}

function isOurs({ description, clusterId }: Pick<Found, 'description' | 'clusterId'>): boolean {
  return snapshotUidIn(description, clusterId) !== undefined
}
