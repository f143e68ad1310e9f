// Moves one slice of a snapshot into the repository. After the last slice it seals the backup and removes the local snapshot.

import type { Upload } from '#shared/api/types.ts'
import { type Controller, type Result, type Run, runStep } from '#shared/controllers/controller.ts'
import type { TransferDeps } from '#shared/controllers/deps.ts'
import { snapshotOf } from '#shared/controllers/mirror.ts'
import { markDone } from '#shared/controllers/outcome.ts'
import { beginSlice, park } from '#shared/controllers/slice.ts'
import { freeSlot, giveSlot, withSlot } from '#shared/controllers/slots.ts'
import { runningMetadata } from '#shared/domain/step-label.ts'
import { decideUpload, seeUpload, type UploadSeen, type UploadStep } from '#shared/domain/upload.ts'
import { withBelievedRetry } from '#shared/domain/waits.ts'
import type { Context } from '#shared/runtime/context.ts'
import type { ObjectRef } from '#shared/runtime/ref.ts'
import { abort } from './abort.ts'
import { cleanUp, recordFailure } from './outcomes.ts'
import { show } from './show.ts'
import { transfer } from './transfer.ts'

type UploadRun = Run<'Upload', TransferDeps>

const UPLOAD: Controller<'Upload', TransferDeps, UploadStep> = {
  kind: 'Upload',
  decide,
  actions: {
    nothing: { atOnce: rest },
    wait: { atOnce: park },
    transfer: {
      around: withSlot,
      begin: beginSlice,
      act: transfer,
    },
    cleanup: { act: (work, { ends }) => cleanUp(work, ends) },
    abort: { begin: beginAbort, act: abort },
  },
  failed: recordFailure,
  keepsStatus: true,
  mustStop: asksForAbort,
  after,
  goesOn: asksForAbort,
}

/** One delivery does at most one step. Idempotent, and safe in any order: it trusts the object, never the event. */
export async function handleUpload(
  _context: Context,
  ref: ObjectRef,
  deps: TransferDeps,
  signal: AbortSignal,
): Promise<string> {
  // Users who are not operators may create Uploads in other namespaces. The ids and the reference in these prove nothing.
  if (ref.namespace !== deps.settings.veleroNamespace) return 'not in the Velero namespace'
  return await runStep(UPLOAD, deps, ref, signal)
}

/** A Snapshot that is cancelled or deleted wakes no function while its Upload runs, so the Upload also checks the Snapshot. */
async function decide({ cluster, clock, settings }: TransferDeps, upload: Upload): Promise<UploadStep> {
  const nowMs = clock.nowMs()
  const decideOn = (seen: UploadSeen) =>
    decideUpload(withBelievedRetry('Upload', seen, nowMs, settings.backoffUnitMs), nowMs)
  const own = decideOn(seeUpload(upload))
  if (own.kind === 'nothing' || own.kind === 'abort') return own // the Snapshot cannot change this
  return decideOn(seeUpload(upload, await snapshotOf(cluster, upload)))
}

async function asksForAbort({ deps, object }: UploadRun, step: UploadStep): Promise<boolean> {
  return step.kind !== 'abort' && (await decide(deps, object)).kind === 'abort'
}

async function rest({ deps, object }: UploadRun, { why }: { why: string }): Promise<string> {
  await giveSlot(deps, object)
  await show(deps, object)
  await markDone(deps, 'Upload', object)
  return why
}

function beginAbort({ object }: UploadRun): { metadata: object; status: object } {
  const status = { phase: 'Canceling', message: 'the upload is being cancelled', reason: 'Canceling' }
  return { metadata: runningMetadata(object), status }
}

async function after(run: UploadRun, result: Result<'Upload'>): Promise<void> {
  await freeSlot(run, result)
  await show(run.deps, run.object)
  if (result.outcome.step === 'done') await markDone(run.deps, 'Upload', run.object)
}
