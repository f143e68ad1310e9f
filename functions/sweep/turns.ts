// Runs many small tasks, several at a time, with the tenants taking turns, until the time is over.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { inRounds, shuffledWhere } from '#shared/domain/shares.ts'
import { tenantOf } from '#shared/domain/tenant.ts'

type TurnOptions = {
  /** How many run at the same time. */
  atOnce: number
  /** What one tenant may cost in one sweep. */
  perTenant: number
  /** Changes from sweep to sweep: the objects of a tenant over its limit are taken in a different order each time. */
  salt: number
  isLate: () => boolean
}

/** `act` returns its cost: 0 if it made no request. Returns how many objects were left for the next sweep. */
export async function takeTurns<Each extends KubeObject>(
  objects: readonly Each[],
  options: TurnOptions,
  act: (object: Each) => Promise<number>,
): Promise<number> {
  const { perTenant, salt, isLate } = options
  const byTenant = Map.groupBy(objects, tenantOf)
  const fair = [...byTenant.values()].flatMap((own) => shuffledWhere(own, perTenant, salt))
  const turns = inRounds(fair, tenantOf)
  const costs = new Map<string, number>()
  let left = 0
  const work = async () => {
    for (const object of turns) {
      const tenant = tenantOf(object)
      const cost = costs.get(tenant) ?? 0
      if (isLate() || cost >= perTenant) {
        left++
        continue
      }
      costs.set(tenant, cost + 1) // before the cost is known, so that parallel tasks do not pass the limit
      const paid = await act(object)
      costs.set(tenant, (costs.get(tenant) ?? 0) - 1 + paid)
    }
  }
  await Promise.all(Array.from({ length: options.atOnce }, work))
  return left
}

/** Whether that time, or the time of the request, is over. */
export function within({ clock }: Pick<StepDeps, 'clock'>, ms: number, signal: AbortSignal): () => boolean {
  const startMs = clock.monotonicMs()
  return () => signal.aborted || clock.monotonicMs() - startMs >= ms
}
