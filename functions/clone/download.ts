// The Download of a clone. There is one per clone, and its name contains the clone's UID. It lies in Velero's namespace, so its content is
// trusted.

import { createHash } from 'node:crypto'
import type { CloneFromSnapshot, Download } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { isDownloadOver, seeDownload } from '#shared/domain/download.ts'
import { formatDiskId, unwrapToDisk } from '#shared/domain/ids.ts'
import {
  CLAIM_DIGEST_ANNOTATION,
  DOWNLOAD_ANNOTATION,
  formatStagedVolume,
  handOverOf,
  isMarkedFor,
  NO_HAND_OVER,
  STAGED_VOLUME_ANNOTATION,
  volumeMark,
} from '#shared/domain/staged-volume.ts'
import { cloneReference, isDownloadOf, STAGED_ANNOTATION } from '#shared/domain/staging.ts'
import { stepPatch, withoutFinalizer } from '#shared/domain/step-label.ts'
import { requireDisk } from '#shared/domain/volume.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { ConflictError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { Staged } from './staged.ts'

export function downloadNameOf(clone: CloneFromSnapshot, source: { snapshotId: string }): string {
  return `download-${source.snapshotId}-${clone.metadata.uid}`
}

/** Uses the name that is derived from the clone and ignores the name in the clone's status. */
export async function readDownload(deps: StepDeps, clone: CloneFromSnapshot): Promise<Download | undefined> {
  const name = knownName(clone)
  const download =
    name === undefined ? undefined : await deps.cluster.read('Download', deps.settings.veleroNamespace, name)
  return download !== undefined && isDownloadOf(download, clone) ? download : undefined
}

/** undefined: the clone names no backup, so it never had a Download. */
function knownName(clone: CloneFromSnapshot): string | undefined {
  try {
    return downloadNameOf(clone, unwrapToDisk(String(clone.spec?.snapshotID ?? '')))
  } catch (error) {
    if (error instanceof TerminalError) return undefined
    throw error
  }
}

/**
 * Makes sure that one disk has one Download. Another Download that was made for the disk before `spec.snapshotID` was edited may still
 * write when this one is handed over. It is stopped first (RetryableError `DownloadStillHeld`); then the restore ends with TerminalError
 * `SnapshotIDChanged`.
 */
export async function requireOnlyDownload(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  source: { snapshotId: string },
  { volume }: Staged,
): Promise<void> {
  const name = volume.metadata.annotations?.[DOWNLOAD_ANNOTATION]
  if (name === undefined || name === downloadNameOf(clone, source)) return
  const other = await deps.cluster.read('Download', deps.settings.veleroNamespace, name)
  if (other !== undefined && !isEnded(other)) {
    await stopDownload(deps, other)
    throw new RetryableError('DownloadStillHeld', `Download ${name} still writes to the disk: it was told to stop`)
  }
  throw new TerminalError(
    'SnapshotIDChanged',
    'spec.snapshotID was edited after the disk was made: the disk is removed; restore again, and leave spec.snapshotID as it is',
  )
}

export async function stopDownload(deps: StepDeps, download: Download): Promise<void> {
  if (download.spec.downloadCancel === true) return
  await deps.cluster.patch('Download', download, {
    spec: { downloadCancel: true },
    metadata: stepPatch('download', deps.clock.nowMs()),
  })
}

/** Its disk is gone. A new Download with the same name is made for the next disk. */
export async function dropDownload(deps: StepDeps, download: Download): Promise<void> {
  await deps.cluster.delete('Download', download)
}

export function isEnded(download: Download | undefined): boolean {
  return download === undefined || isDownloadOver(seeDownload(download).phase)
}

/**
 * Repeatable: a second run finds the first one's Download. The volume is marked first: if the Download disappears later, the mark says that
 * the disk may have been written to and no longer counts as new.
 */
export async function ensureDownload(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  source: { fcdId: string; snapshotId: string },
  { volume, claimUID, namespace }: Staged,
  exchanged: boolean,
): Promise<void> {
  const zeroed = !isMarkedFor(volume, clone)
  if (zeroed) {
    const { labels, annotations } = volumeMark(clone, claimUID)
    const marks = { ...annotations, [DOWNLOAD_ANNOTATION]: downloadNameOf(clone, source) }
    await deps.cluster.patch('PersistentVolume', volume, { metadata: { labels, annotations: marks } })
  }
  const now = rfc3339(deps.clock.nowMs())
  const staged = {
    name: volume.metadata.name,
    claimUID,
    namespace,
    reclaimPolicy: volume.spec.persistentVolumeReclaimPolicy ?? 'Delete',
    zeroed,
    ...(exchanged ? { exchanged } : {}),
  }
  try {
    await deps.cluster.create('Download', {
      apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1',
      kind: 'Download',
      metadata: {
        name: downloadNameOf(clone, source),
        namespace: deps.settings.veleroNamespace,
        labels: { 'velero.io/exclude-from-backup': 'true' },
        annotations: {
          [STAGED_ANNOTATION]: 'true',
          [STAGED_VOLUME_ANNOTATION]: formatStagedVolume(staged),
          [CLAIM_DIGEST_ANNOTATION]: digestOf(clone),
        },
      },
      spec: {
        snapshotID: formatDiskId(source.fcdId, source.snapshotId),
        restoreTimestamp: now,
        protectedEntityID: formatDiskId(requireDisk(volume, volume.metadata.name)),
        backupRepositoryName: clone.spec.backupRepository,
        clonefromSnapshotReference: cloneReference(clone),
      },
      status: { phase: 'New', nextRetryTimestamp: now, progress: {} },
    })
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
  }
}

/**
 * Throws TerminalError `MetadataChanged` if the disk was made for a different claim than the one stored now, which may have another size.
 * The annotation holds a digest, because the stored claim may be larger than an annotation allows.
 */
export function requireSameClaim(download: Download, clone: CloneFromSnapshot): void {
  const digest = download.metadata.annotations?.[CLAIM_DIGEST_ANNOTATION]
  // An earlier version wrote no digest.
  if (digest === undefined || digest === digestOf(clone)) return
  throw new TerminalError(
    'MetadataChanged',
    'spec.metadata was edited after the disk was made: the disk is removed; restore again, and leave spec.metadata as it is',
  )
}

function digestOf(clone: CloneFromSnapshot): string {
  return createHash('sha256').update(String(clone.spec.metadata)).digest('hex')
}

/** The hand-over has ended and the clone's status says so: the Download's finalizer can go. */
export async function releaseDownload(deps: StepDeps, clone: CloneFromSnapshot): Promise<void> {
  const download = await readDownload(deps, clone)
  if (download === undefined || handOverOf(download) === undefined) return
  await deps.cluster.patch('Download', download, {
    metadata: { finalizers: withoutFinalizer(download), annotations: NO_HAND_OVER },
  })
}
