// Restores a claim: a staged disk, a Download into it, and the hand-over of its volume once the data is whole.

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

/** With the Download that it was decided by. */
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

/** Its own may have lost the annotation that says where the staging claim is looked for. */
const WITH_LOST_CLAIM: typeof CLONE = {
  ...CLONE,
  actions: {
    ...CLONE.actions,
    nothing: { atOnce: (run, step) => rest({ ...run, object: asDriven(run.object) }, step) },
  },
}

/** Woken by its own object, and by the claims that it made when they are bound. */
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

/** A run that was paused for longer than its Lease may have made the staging claim after the end: its event leads here. */
async function rest(
  { deps, object, signal }: Run<'CloneFromSnapshot'>,
  { why, download }: Decided & { why: string },
): Promise<string> {
  // An end that somebody wrote by hand: as long as one may write, the disk it writes to stays.
  if (download !== undefined && !isEnded(download)) {
    await stopDownload(deps, download)
    return `${why}: told its Download to stop`
  }
  await removeStaged(deps, object, { signal })
  await releaseDownload(deps, object)
  await markDone(deps, 'CloneFromSnapshot', object)
  return why
}

/** Shows the Download's progress; its end wakes this function, its progress does not. */
async function followDownload({ deps, object }: Run<'CloneFromSnapshot'>, { download }: Decided): Promise<string> {
  const status = { phase: 'InProgress', ...progressOf(download) } as const
  await writeOutcome(deps, 'CloneFromSnapshot', object, { status, step: 'waiting' })
  return `waits for its Download: ${download?.status?.phase ?? 'New'}`
}

/** The Download was read before the Lease was taken: whoever held it until then may have come to the end meanwhile. */
function unlessOver(
  act: (work: Work<'CloneFromSnapshot'>, download: Download | undefined) => Promise<Result<'CloneFromSnapshot'>>,
) {
  return async (work: Work<'CloneFromSnapshot'>): Promise<Result<'CloneFromSnapshot'>> => {
    const { download, ...now } = await decide(work.deps, work.lease.latest())
    return now.kind === 'nothing' ? { outcome: overWith({}), why: now.why } : await act(work, download)
  }
}

/**
 * A run that was paused for longer than its Lease may have made a staging claim while this one came to the end; what it makes later has an
 * event of its own, which leads to `rest`.
 */
async function after(
  { deps, object, signal }: Run<'CloneFromSnapshot'>,
  { outcome }: Result<'CloneFromSnapshot'>,
): Promise<void> {
  if (outcome.step === 'done') await removeStaged(deps, object, { signal })
}
