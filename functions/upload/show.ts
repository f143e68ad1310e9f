// What the Snapshot shows of its Upload: news for whoever looks at it.

import type { Upload } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { mirrorToSnapshot } from '#shared/controllers/mirror.ts'
import { asError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'

const SHOW_EVERY_MS = 10 * SECOND_MS

/**
 * Never worth an upload: who keeps writing to a Snapshot would hold its Upload and its slot. What is not shown here the Snapshot's own
 * function shows, which the sweep wakes.
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

/** At most every ten seconds; what it could not show, the next call shows. */
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
