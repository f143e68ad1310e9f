// Copies the state of an Upload into its Snapshot's status. The upload function does this on each change of phase; the snapshot function
// and the sweep guarantee it.

import type { KubeObject } from '#shared/api/kinds.ts'
import { type NamespacedName, parseNamespacedName } from '#shared/api/names.ts'
import type { Snapshot, SnapshotPhase, StatusChangeOf, Upload } from '#shared/api/types.ts'
import { isClaimSnapshotId, unwrapToDisk } from '#shared/domain/ids.ts'
import { isUploadOf } from '#shared/domain/removal.ts'
import { followUpload, isSnapshotOver, seeSnapshot } from '#shared/domain/snapshot.ts'
import { STEP_LABEL } from '#shared/domain/step-label.ts'
import { seeUpload } from '#shared/domain/upload.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { ConflictError, TerminalError } from '#shared/kernel/errors.ts'
import type { Cluster } from '#shared/ports/cluster.ts'
import type { StepDeps } from './deps.ts'
import { markDone, writeOutcome } from './outcome.ts'

/** Brings the Snapshot that `upload.spec.snapshotReference` names up to date. A missing Snapshot is not an error. */
export async function mirrorToSnapshot(deps: StepDeps, upload: Upload): Promise<void> {
  const reference = snapshotReference(upload)
  if (reference === undefined) return
  for (let attempt = 0; ; attempt++) {
    const snapshot = await deps.cluster.read('Snapshot', reference.namespace, reference.name)
    if (snapshot === undefined || !isOfSameDisk(snapshot, upload)) return
    try {
      await mirror(deps, snapshot, upload)
      return
    } catch (error) {
      if (!(error instanceof ConflictError) || attempt >= 3) throw error
    }
  }
}

/** The Upload lies in Velero's namespace, so its reference is trusted. The Snapshot's reference to its Upload can be written by a user. */
export function isMadeFor(upload: Upload, { metadata }: KubeObject): boolean {
  return upload.spec?.snapshotReference === `${metadata.namespace}/${metadata.name}`
}

/** Another Snapshot may have taken that name. The result of this upload says nothing about it. */
function isOfSameDisk(snapshot: Snapshot, upload: Upload): boolean {
  const named = snapshot.status?.snapshotID
  return isClaimSnapshotId(named) && isUploadOf(upload, unwrapToDisk(named))
}

/** Brings `snapshot` up to date with `upload`. */
export async function mirror(deps: StepDeps, snapshot: Snapshot, upload: Upload): Promise<void> {
  const seen = seeSnapshot(snapshot)
  // A Snapshot that has not recorded its own result yet must do so first: the state table has no edge from New to Uploading.
  const phase = followUpload(seen.phase, seeUpload(upload).phase)
  const over = isSnapshotOver(phase, seen.localMode)
  const change = statusFromUpload(phase, upload, over ? rfc3339(deps.clock.nowMs()) : undefined)
  let latest = snapshot
  if (!isSnapshotOver(seen.phase, seen.localMode)) {
    if (isSame(snapshot.status, change) && !over && snapshot.metadata.labels?.[STEP_LABEL] === 'waiting') return
    const step = over ? 'done' : stepWhile(snapshot, phase)
    await writeOutcome(deps, 'Snapshot', snapshot, { status: change, step, dropFinalizer: over })
    if (!over) return
    latest = (await deps.cluster.read('Snapshot', snapshot.metadata.namespace, snapshot.metadata.name)) ?? snapshot
  }
  await markDone(deps, 'Snapshot', latest)
}

/** Before the phase Snapshotted, only the snapshot function sets the label. */
function stepWhile(snapshot: Snapshot, phase: string): 'waiting' | 'snapshot' {
  return phase === 'New' || phase === 'InProgress' || snapshot.status?.phase === undefined ? 'snapshot' : 'waiting'
}

/** The Snapshot that an Upload was made for. undefined if there is none or if the reference is not a valid name. */
export async function snapshotOf(cluster: Pick<Cluster, 'read'>, upload: Upload): Promise<Snapshot | undefined> {
  const reference = parseNamespacedName(upload.spec?.snapshotReference)
  return reference === undefined ? undefined : await cluster.read('Snapshot', reference.namespace, reference.name)
}

/** undefined: the Upload names no Snapshot. Throws TerminalError `SnapshotReferenceInvalid` for a text that is no reference. */
export function snapshotReference(upload: Upload): NamespacedName | undefined {
  const text = upload.spec?.snapshotReference
  if (typeof text !== 'string' || text === '') return undefined
  const reference = parseNamespacedName(text)
  if (reference !== undefined) return reference
  throw new TerminalError(
    'SnapshotReferenceInvalid',
    `spec.snapshotReference ${JSON.stringify(text)} is not <namespace>/<name>`,
  )
}

/** `overSince`: undefined while the upload is in progress. */
function statusFromUpload(
  phase: SnapshotPhase,
  upload: Upload,
  overSince: string | undefined,
): StatusChangeOf<'Snapshot'> {
  const status = upload.status ?? {}
  const { totalBytes, bytesDone, percent, summary } = status.progress ?? {}
  return {
    phase,
    message: status.message ?? '',
    reason: status.reason ?? '',
    ...(totalBytes === undefined ? {} : { progress: { totalBytes, bytesDone, percent, summary } }),
    ...(overSince === undefined ? {} : { completionTimestamp: status.completionTimestamp ?? overSince }),
  }
}

function isSame(status: Snapshot['status'], change: StatusChangeOf<'Snapshot'>): boolean {
  return Object.entries(change).every(
    ([key, value]) => JSON.stringify(status?.[key as keyof typeof status]) === JSON.stringify(value),
  )
}
