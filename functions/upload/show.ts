// Shows the Upload's progress in its Snapshot, for users who watch the Snapshot.

import type { Upload } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { mirrorToSnapshot } from '#shared/controllers/mirror.ts'
import { asError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'

const SHOW_EVERY_MS = 10 * SECOND_MS

/**
 * A failure here never fails the upload: otherwise a user who keeps writing to a Snapshot could block its Upload and the slot. The snapshot
 * function, which the sweep wakes, writes whatever is missing here.
 */
export async function show(deps: StepDeps, upload: Upload): Promise<void> {
  try {
    await mirrorToSnapshot(deps, upload)
  } catch (error) {
    deps.log.warn(
      { err: asError(error) },
      'the Snapshot does not show how far its Upload is; the sweep makes up for it',
    )
  }
}

/** Writes at most every ten seconds. The next call makes up for a failed write. */
export function showSeldom(deps: StepDeps, latest: () => Upload): () => void {
  const { clock, log } = deps
  let shownAtMs = clock.monotonicMs()
  return () => {
    if (clock.monotonicMs() - shownAtMs < SHOW_EVERY_MS) return
    shownAtMs = clock.monotonicMs()
    mirrorToSnapshot(deps, latest()).catch((error: unknown) =>
      log.debug({ err: error }, 'the Snapshot does not show the progress'),
    )
  }
}
