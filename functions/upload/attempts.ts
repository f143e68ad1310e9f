// How often and when an upload that failed is tried again.

import type { KubeObject } from '#shared/api/kinds.ts'
import { deadlineOf } from '#shared/controllers/deadline.ts'
import type { TransferDeps } from '#shared/controllers/deps.ts'
import { isTooLate, uploadBackoffUnits, uploadRetryMax } from '#shared/domain/upload.ts'

/** How often it has failed, this time included. */
export function failuresWith(status: { retryCount?: unknown }): number {
  return Number(status.retryCount ?? 0) + 1
}

/** Why there is no other attempt after so many failures; undefined: there is one. */
export async function whyNoOther(
  deps: TransferDeps,
  upload: KubeObject,
  failures: number,
): Promise<'used up' | 'too late' | undefined> {
  if (failures > (await retryMax(deps))) return 'used up'
  return isTooLate(nextAttemptMs(deps, failures), deadlineOf(deps, upload)) ? 'too late' : undefined
}

export function nextAttemptMs(deps: TransferDeps, failures: number): number {
  return deps.clock.nowMs() + uploadBackoffUnits(failures) * deps.settings.backoffUnitMs
}

async function retryMax(deps: TransferDeps): Promise<number> {
  const config = await deps.cluster.read('ConfigMap', deps.settings.veleroNamespace, 'velero-vsphere-plugin-config')
  return uploadRetryMax(config?.['data']?.['upload-cr-retry-max'])
}
