// How often and when a failed upload is retried.

import type { StatusChangeOf, Upload } from '#shared/api/types.ts'
import type { Result } from '#shared/controllers/controller.ts'
import { deadlineOf } from '#shared/controllers/deadline.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { failuresWith } from '#shared/controllers/slice.ts'
import { isTooLate, uploadBackoffUnits, uploadRetryMax } from '#shared/domain/upload.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { isApiTrouble, RetryableError } from '#shared/kernel/errors.ts'

/** Returns a retry if the error may pass and another attempt is left. Undefined: the work is done, or it was left with a warning. */
export async function attempt(
  deps: StepDeps,
  upload: Upload,
  what: { failed: string; left: string },
  work: () => Promise<void>,
): Promise<Result<'Upload'> | undefined> {
  try {
    await work()
    return undefined
  } catch (error) {
    if (isApiTrouble(error)) throw error
    const status = upload.status ?? {}
    const failures = failuresWith(status)
    if (error instanceof RetryableError && (await whyNoOther(deps, upload, failures)) === undefined) {
      const phase = status.phase === 'Canceling' ? 'Canceling' : 'CleanupFailed'
      return retryLater(deps, { phase, message: `${what.failed}: ${error.message}` }, failures, error.reason)
    }
    deps.log.warn({ err: error }, `${what.failed}: ${what.left}`)
    return undefined
  }
}

/** Why there is no other attempt after this many failures. Undefined: there is one. */
export async function whyNoOther(
  deps: StepDeps,
  upload: Upload,
  failures: number,
): Promise<'used up' | 'too late' | undefined> {
  if (failures > (await retryMax(deps))) return 'used up'
  return isTooLate(nextAttemptMs(deps, failures), deadlineOf(deps.log, upload)) ? 'too late' : undefined
}

/** `status`: how the failure is reported, without the back-off. */
export function retryLater(
  deps: StepDeps,
  status: StatusChangeOf<'Upload'>,
  failures: number,
  reason: string,
): Result<'Upload'> {
  const untilMs = nextAttemptMs(deps, failures)
  const backOff = {
    reason,
    retryCount: failures,
    currentBackOff: uploadBackoffUnits(failures),
    nextRetryTimestamp: rfc3339(untilMs),
  }
  return { outcome: { status: { ...status, ...backOff }, step: 'waiting', dueAtMs: untilMs }, why: `failed: ${reason}` }
}

function nextAttemptMs({ clock, settings }: StepDeps, failures: number): number {
  return clock.nowMs() + uploadBackoffUnits(failures) * settings.backoffUnitMs
}

async function retryMax({ cluster, settings }: StepDeps): Promise<number> {
  const config = await cluster.read('ConfigMap', settings.veleroNamespace, 'velero-vsphere-plugin-config')
  return uploadRetryMax(config?.data?.['upload-cr-retry-max'])
}
