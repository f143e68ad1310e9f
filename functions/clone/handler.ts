// Restores a claim: provisions a staged disk, starts a Download into it, and hands its volume over once the data is complete.

import type { KindName } from '#shared/api/kinds.ts'
import type { CloneFromSnapshot, Download } from '#shared/api/types.ts'
import { type Controller, type Result, type Run, reconcile, type Work } from '#shared/controllers/controller.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { markDone, overWith, writeOutcome } from '#shared/controllers/outcome.ts'
import { type CloneStep, decideClone, seeClone } from '#shared/domain/clone.ts'
import type { Context } from '#shared/runtime/context.ts'
import type { ObjectRef } from '#shared/runtime/ref.ts'
import { isEnded, readDownload, releaseDownload, stopDownload } from './download.ts'
import { findClone } from './find.ts'
import { removeStaged } from './leftovers.ts'
import { removeOrphan } from './orphan.ts'
import { abort, complete, failWithDownload, progressOf, recordFailure } from './outcomes.ts'
import { prepare } from './prepare.ts'
import { asDriven } from './staging-place.ts'

export const CLONE_KINDS = ['CloneFromSnapshot', 'PersistentVolumeClaim'] as const satisfies readonly KindName[]

/** A decision together with the Download that it is based on. */
type Decided = CloneStep & { download: Download | undefined }

const CLONE: Controller<'CloneFromSnapshot', StepDeps, Decided> = {
  kind: 'CloneFromSnapshot',
  decide,
  actions: {
    nothing: { atOnce: rest },
    awaitDownload: { atOnce: followDownload },
    provision: { act: unlessOver(prepare) },
    handOver: { act: unlessOver(complete) },
    failWithDownload: { act: unlessOver(failWithDownload) },
    abort: { act: unlessOver(abort) },
  },
  failed: recordFailure,
  mustStop: ({ object }, { kind }) =>
    kind !== 'abort' && kind !== 'handOver' && decideClone(seeClone(object, undefined)).kind === 'abort',
  after,
  goesOn: async ({ deps, object }, { kind }) => kind !== 'abort' && (await decide(deps, object)).kind === 'abort',
}

/** For a clone that may have lost the annotation that says where its staging claim is looked for. */
const WITH_LOST_CLAIM: typeof CLONE = {
  ...CLONE,
  actions: {
    ...CLONE.actions,
    nothing: { atOnce: (run, step) => rest({ ...run, object: asDriven(run.object) }, step) },
  },
}

/** Woken by the CloneFromSnapshot itself, and by the claims that the restore made when they are bound. */
export async function handleClone(
  context: Context,
  ref: ObjectRef,
  deps: StepDeps,
  signal: AbortSignal,
): Promise<string> {
  const { clone, lost } = await findClone(deps, ref)
  if (clone === undefined) return lost === undefined ? 'gone' : await removeOrphan(deps, lost, signal)
  const again = () => handleClone(context, ref, deps, signal)
  return await reconcile(lost === undefined ? CLONE : WITH_LOST_CLAIM, { deps, object: clone, signal }, again)
}

async function decide(deps: StepDeps, clone: CloneFromSnapshot): Promise<Decided> {
  const download = await readDownload(deps, clone)
  return { ...decideClone(seeClone(clone, download)), download }
}

/** A run that was paused for longer than its Lease may have made the staging claim after the end. The claim's event leads here. */
async function rest(
  { deps, object, signal }: Run<'CloneFromSnapshot'>,
  { why, download }: Decided & { why: string },
): Promise<string> {
  // A user may have written the final phase by hand: as long as a Download may write, its disk stays.
  if (download !== undefined && !isEnded(download)) {
    await stopDownload(deps, download)
    return `${why}: told its Download to stop`
  }
  await removeStaged(deps, object, { signal })
  await releaseDownload(deps, object)
  await markDone(deps, 'CloneFromSnapshot', object)
  return why
}

/** Shows the Download's progress. The end of the Download wakes this function; its progress does not. */
async function followDownload({ deps, object }: Run<'CloneFromSnapshot'>, { download }: Decided): Promise<string> {
  const status = { phase: 'InProgress', ...progressOf(download) } as const
  await writeOutcome(deps, 'CloneFromSnapshot', object, { status, step: 'waiting' })
  return `waits for its Download: ${download?.status?.phase ?? 'New'}`
}

/**
 * The Download was read before the Lease was taken, and the previous holder may have finished meanwhile. So decide again under the Lease.
 */
function unlessOver(
  act: (work: Work<'CloneFromSnapshot'>, download: Download | undefined) => Promise<Result<'CloneFromSnapshot'>>,
) {
  return async (work: Work<'CloneFromSnapshot'>): Promise<Result<'CloneFromSnapshot'>> => {
    const { download, ...now } = await decide(work.deps, work.lease.latest())
    return now.kind === 'nothing' ? { outcome: overWith({}), why: now.why } : await act(work, download)
  }
}

/**
 * A run that was paused for longer than its Lease may have made a staging claim while this run came to the end. A claim that it makes later
 * has its own event, which leads to `rest`.
 */
async function after(
  { deps, object, signal }: Run<'CloneFromSnapshot'>,
  { outcome }: Result<'CloneFromSnapshot'>,
): Promise<void> {
  if (outcome.step === 'done') await removeStaged(deps, object, { signal })
}
