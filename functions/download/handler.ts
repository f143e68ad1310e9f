// Writes one slice of a backup into a staged disk. When the last byte is flushed, its clone is due for the hand-over.

import type { Download } from '#shared/api/types.ts'
import { type Controller, type Result, type Run, runStep } from '#shared/controllers/controller.ts'
import type { TransferDeps } from '#shared/controllers/deps.ts'
import { markDone } from '#shared/controllers/outcome.ts'
import { beginSlice, park } from '#shared/controllers/slice.ts'
import { freeSlot, giveSlot, withSlot } from '#shared/controllers/slots.ts'
import { type DownloadSeen, type DownloadStep, decideDownload, seeDownload } from '#shared/domain/download.ts'
import { isHandingOver } from '#shared/domain/staged-volume.ts'
import { withBelievedRetry } from '#shared/domain/waits.ts'
import type { Context } from '#shared/runtime/context.ts'
import type { ObjectRef } from '#shared/runtime/ref.ts'
import { cloneOf, wakeClone } from './clone.ts'
import { endAsFailed, recordFailure } from './outcomes.ts'
import { transfer } from './transfer.ts'

type DownloadRun = Run<'Download', TransferDeps>

const DOWNLOAD: Controller<'Download', TransferDeps, DownloadStep> = {
  kind: 'Download',
  decide,
  actions: {
    nothing: { atOnce: rest },
    wait: { atOnce: park },
    transfer: {
      around: withSlot,
      begin: beginSlice,
      act: transfer,
    },
    cancel: { act: async (work) => endAsFailed(work, 'Canceled', 'cancelled before all data was written') },
  },
  failed: recordFailure,
  keepsStatus: true,
  mustStop: asksForCancel,
  after,
  goesOn: asksForCancel,
}

/** One delivery does at most one step. Idempotent, and safe in any order: it trusts the object, never the event. */
export async function handleDownload(
  _context: Context,
  ref: ObjectRef,
  deps: TransferDeps,
  signal: AbortSignal,
): Promise<string> {
  // A Download names a disk that is overwritten, so it counts only in Velero's namespace, where only operators write.
  if (ref.namespace !== deps.settings.veleroNamespace) return "not in Velero's namespace"
  return await runStep(DOWNLOAD, deps, ref, signal)
}

/** A clone that is cancelled or deleted wakes no function while its Download runs, so the Download also checks the clone. */
async function decide({ cluster, clock, settings }: TransferDeps, download: Download): Promise<DownloadStep> {
  const nowMs = clock.nowMs()
  const decideOn = (seen: DownloadSeen) =>
    decideDownload(withBelievedRetry('Download', seen, nowMs, settings.backoffUnitMs), nowMs)
  const own = decideOn(seeDownload(download))
  if (own.kind === 'nothing' || own.kind === 'cancel') return own // the clone cannot change this
  return decideOn(seeDownload(download, (await cloneOf(cluster, download)) ?? 'gone'))
}

async function asksForCancel({ deps, object }: DownloadRun, step: DownloadStep): Promise<boolean> {
  return step.kind !== 'cancel' && (await decide(deps, object)).kind === 'cancel'
}

async function rest({ deps, object }: DownloadRun, { why }: { why: string }): Promise<string> {
  await giveSlot(deps, object)
  await wakeClone(deps, object)
  // The hand-over needs this Download, so it is kept until then. If the clone was removed by force, the sweep removes the disk first.
  if (isHandingOver(object)) return `${why}: its volume changes hands`
  await markDone(deps, 'Download', object)
  return why
}

async function after(run: DownloadRun, result: Result<'Download'>): Promise<void> {
  await freeSlot(run, result)
  if (result.outcome.step !== 'done') return
  await wakeClone(run.deps, run.object)
  await markDone(run.deps, 'Download', run.object)
}
