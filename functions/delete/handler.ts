// Removes a backup: stops its upload, removes the local snapshot, and deletes the backup from the repository.

import type { DeleteSnapshot, Upload } from '#shared/api/types.ts'
import { type Controller, type Result, type Run, runStep, type Work } from '#shared/controllers/controller.ts'
import { removeLocalSnapshot } from '#shared/controllers/local-snapshot.ts'
import { markDone, overWith } from '#shared/controllers/outcome.ts'
import { pollUntil, STOP_LOOK_MS } from '#shared/controllers/poll.ts'
import { reasonOf } from '#shared/controllers/reason.ts'
import { setCondition } from '#shared/domain/conditions.ts'
import { type DeleteStep, decideDelete, deletePhase } from '#shared/domain/delete.ts'
import { unwrapToDisk } from '#shared/domain/ids.ts'
import { decideRemoval, type Removal } from '#shared/domain/removal.ts'
import { stepPatch } from '#shared/domain/step-label.ts'
import { isUploadOver, seeUpload } from '#shared/domain/upload.ts'
import { UPLOAD_STOP_MS } from '#shared/domain/waits.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { unreachable } from '#shared/kernel/unreachable.ts'
import type { Context } from '#shared/runtime/context.ts'
import type { ObjectRef } from '#shared/runtime/ref.ts'
import { type DeleteDeps, type DiskSnapshot, findAll, findUpload } from './found.ts'

export type { DeleteDeps } from './found.ts'

const DELETE: Controller<'DeleteSnapshot', DeleteDeps, DeleteStep> = {
  kind: 'DeleteSnapshot',
  // Whether a running Upload must be stopped is checked under the Lease. A delete cannot be cancelled: half of it may be done.
  decide: (_deps, request) => decideDelete(deletePhase(request), undefined),
  actions: {
    nothing: { atOnce: rest },
    stopUpload: { act },
    remove: { act },
  },
  failed: recordFailure,
}

/** One delivery does at most one step. Idempotent, and safe in any order: it trusts the object, never the event. */
export async function handleDelete(
  _context: Context,
  ref: ObjectRef,
  deps: DeleteDeps,
  signal: AbortSignal,
): Promise<string> {
  return await runStep(DELETE, deps, ref, signal)
}

async function rest({ deps, object }: Run<'DeleteSnapshot', DeleteDeps>, { why }: { why: string }): Promise<string> {
  await markDone(deps, 'DeleteSnapshot', object)
  return why
}

async function act(work: Work<'DeleteSnapshot', DeleteDeps>): Promise<Result<'DeleteSnapshot'>> {
  return await actOnAll(work, false)
}

/** Ownership of every part is decided before anything is touched, and again for parts that were found later. */
async function actOnAll(
  work: Work<'DeleteSnapshot', DeleteDeps>,
  forgotten: boolean,
): Promise<Result<'DeleteSnapshot'>> {
  const { deps, lease } = work
  const object = lease.latest()
  const disk = unwrapToDisk(object.spec.snapshotID)
  const { actor, ...found } = await findAll(deps, object, disk)
  const removal = decideRemoval(actor, found)
  const { upload } = found
  const isInTheWay = upload !== undefined && removal.stopUpload
  const step = decideDelete(deletePhase(object), isInTheWay ? seeUpload(upload).phase : undefined)
  switch (step.kind) {
    case 'nothing':
      return { outcome: overWith({}), why: step.why }
    case 'stopUpload':
      await stopUpload(work, upload)
      return (await pollUntil(deps, lease, async () => isEnded(await findUpload(deps, disk)), STOP_LOOK_MS))
        ? await actOnAll(work, forgotten)
        : stillStopping(deps)
    case 'remove':
      return await remove(work, { object, disk, removal, forgotten })
    default:
      return unreachable(step)
  }
}

function isEnded(upload: Upload | undefined): boolean {
  return upload === undefined || isUploadOver(seeUpload(upload).phase)
}

const STOPPING = {
  phase: 'InProgress',
  reason: 'StoppingUpload',
  message: 'the upload of this snapshot is being stopped first',
} as const

async function stopUpload(
  { deps, lease }: Work<'DeleteSnapshot', DeleteDeps>,
  upload: Upload | undefined,
): Promise<void> {
  await lease.patchStatus(STOPPING)
  if (upload !== undefined && upload.spec.uploadCancel !== true) {
    await deps.cluster.patch('Upload', upload, {
      spec: { uploadCancel: true },
      metadata: stepPatch('upload', deps.clock.nowMs()),
    })
  }
}

function stillStopping(deps: DeleteDeps): Result<'DeleteSnapshot'> {
  return {
    outcome: { status: STOPPING, step: 'waiting', dueAtMs: deps.clock.nowMs() + UPLOAD_STOP_MS },
    why: 'stops the upload',
  }
}

/** `object` is the version that was decided on. Its user may have edited it since and named another repository. */
type Decided = { object: DeleteSnapshot; disk: DiskSnapshot; removal: Removal; forgotten: boolean }

/** Both parts are repeatable. A part that is already gone counts as removed. */
async function remove(work: Work<'DeleteSnapshot', DeleteDeps>, decided: Decided): Promise<Result<'DeleteSnapshot'>> {
  const { deps, lease } = work
  const { object, disk, removal } = decided
  await lease.patchStatus({ phase: 'InProgress', reason: 'Removing', message: 'the backup is being removed' })
  if (removal.diskSnapshot === 'remove') await removeLocalSnapshot(deps, disk.fcdId, disk.snapshotId, lease.signal)
  const forgotten = decided.forgotten || removal.roots.length > 0
  if (await forgetOrFind(deps, object, disk, removal)) return await actOnAll(work, forgotten)
  const nowMs = deps.clock.nowMs()
  const message = messageOf(forgotten, removal)
  const conditions = setCondition(
    lease.latest().status?.conditions,
    { type: 'Removed', status: 'True', reason: forgotten ? 'BackupForgotten' : 'NothingStored', message },
    nowMs,
  )
  const completionTimestamp = rfc3339(nowMs)
  const status = { phase: 'Completed', reason: 'Completed', message, completionTimestamp, conditions } as const
  return { outcome: overWith(status), why: 'Completed', event: ['Normal', 'Completed', message] }
}

/** true: a backup was sealed after the search. It is decided on like the others. */
async function forgetOrFind(
  { repositories, access: accessOf }: DeleteDeps,
  object: DeleteSnapshot,
  { fcdId, snapshotId }: DiskSnapshot,
  { roots, mayFence }: Removal,
): Promise<boolean> {
  const repository = object.spec.backupRepository
  if (repository === '' || !mayFence) return false
  const access = await accessOf(repository, 'write')
  await repositories.forget(access, fcdId, snapshotId, roots)
  return (await repositories.rootsOf(access, fcdId, snapshotId)).length > 0
}

function messageOf(forgotten: boolean, { diskSnapshot }: Removal): string {
  const backup = forgotten
    ? 'the backup is removed; its space is free after the next prune'
    : 'the repository holds no backup of this snapshot'
  if (diskSnapshot === 'foreign') return `${backup}; the disk snapshot stays, as another cluster or program has made it`
  return forgotten ? backup : `${backup}; the disk snapshot is gone`
}

/** A retry cannot fix these: the id cannot be read, or the backup belongs to another namespace. */
const FINAL = ['SnapshotIDInvalid', 'NotPermitted', 'NamespaceNotAllowed']

/** Only errors that a retry cannot fix end as Failed. For all others the step retries and reports the reason. */
async function recordFailure(
  { deps, lease }: Work<'DeleteSnapshot', DeleteDeps>,
  error: Error,
): Promise<Result<'DeleteSnapshot'>> {
  const nowMs = deps.clock.nowMs()
  const object = lease.latest()
  const reason = reasonOf(deps.log, error)
  const event = ['Warning', reason, error.message] as const
  const conditions = setCondition(
    object.status?.conditions,
    { type: 'Removed', status: 'False', reason, message: error.message },
    nowMs,
  )
  if (error instanceof TerminalError && FINAL.includes(reason)) {
    const completionTimestamp = rfc3339(nowMs)
    const status = { phase: 'Failed', reason, message: error.message, completionTimestamp, conditions } as const
    return { outcome: overWith(status), why: `failed: ${reason}`, event }
  }
  return {
    outcome: {
      status: { phase: 'InProgress', reason, message: error.message, conditions },
      step: 'waiting',
      // The request is never reported as completed while something is left.
      dueAtMs: nowMs + deps.settings.backoffUnitMs,
    },
    why: `waits: ${reason}`,
    event,
  }
}
