// One slice of an upload: prepared, moved, and sealed if it was the last.

import type { Upload } from '#shared/api/types.ts'
import type { Result, Work } from '#shared/controllers/controller.ts'
import type { TransferDeps } from '#shared/controllers/deps.ts'
import { endsFailures, moved, sliceDone } from '#shared/controllers/slice.ts'
import type { UploadEnd, UploadOutcome, UploadProgress, UploadRequest } from '#shared/ports/mover.ts'
import { type DiskState, progressOf, seal } from './outcomes.ts'
import { prepareUpload, type ReadyUpload } from './prepare.ts'
import { show, showSeldom } from './show.ts'

export async function transfer(work: Work<'Upload', TransferDeps>): Promise<Result<'Upload'>> {
  const { deps, lease } = work
  await show(deps, lease.latest())
  const prepared = await prepareUpload(deps, lease)
  // An earlier run sealed the backup, and its mover may have died since.
  const end = prepared.state === 'sealed' ? prepared : await moveSlice(work, prepared)
  if (end.state === 'more') return afterSlice(work, end)
  return await seal(work, end, end === prepared ? 'perhaps held' : leftBy(lease.latest()))
}

async function moveSlice(work: Work<'Upload', TransferDeps>, prepared: ReadyUpload): Promise<UploadEnd> {
  const end = await withPlan(moveBy(work), prepared)
  work.deps.countSlice(end.state === 'sealed' ? 'done' : 'more')
  return end
}

function moveBy({ deps, lease }: Work<'Upload', TransferDeps>): (request: UploadRequest) => Promise<UploadOutcome> {
  const showInSnapshot = showSeldom(deps, () => lease.latest())
  const onProgress = (progress: UploadProgress) => {
    lease.report({ status: { progress: progressOf(progress) } })
    showInSnapshot()
  }
  return (request) => moved(deps.clock, lease, (stop) => deps.mover.upload(request, { ...stop, onProgress }))
}

/** If an earlier slice died before its first checkpoint, or the store has lost the checkpoint, there is no plan. */
async function withPlan(
  move: (request: UploadRequest) => Promise<UploadOutcome>,
  { request, withAreas }: ReadyUpload,
): Promise<UploadEnd> {
  const first = await move(request)
  const outcome = first.state === 'unplanned' ? await move(await withAreas()) : first
  if (outcome.state !== 'unplanned') return outcome
  throw new Error('the mover asks for the changed areas that it was given')
}

/**
 * During the first slice no other mover had the disk. Later, a paused mover that has lost its Lease may open the disk until the snapshot is
 * removed.
 */
function leftBy({ status }: Upload): DiskState {
  return Number(status?.slice) === 1 ? 'closed' : 'perhaps held'
}

function afterSlice(
  work: Work<'Upload', TransferDeps>,
  { progress, bytesBefore }: Extract<UploadEnd, { state: 'more' }>,
): Result<'Upload'> {
  // The status is not used here: a slice that died may have reported progress that was not durable.
  const gotOn = progress.bytesDone > bytesBefore
  const status = { progress: progressOf(progress), ...endsFailures(work.lease.latest(), gotOn) }
  return sliceDone(work, 'upload', status, 'slice done, more to move')
}
