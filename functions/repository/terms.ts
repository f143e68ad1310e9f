// What a claim may have. Decided before a Secret is read or a server is spoken to.

import type { KubeObject } from '#shared/api/kinds.ts'
import {
  claimNamespace,
  locationOfTenant,
  type Terms,
  termsOfOperator,
  termsOfTenant,
} from '#shared/domain/repository-claim.ts'
import type { StepDeps } from '#shared/steps/deps.ts'
import { readLocation } from '#shared/steps/storage-location.ts'

/** Read anew at each look, as an operator may open or close a location meanwhile. Throws what termsOfTenant throws. */
export async function termsOf(deps: StepDeps, claim: KubeObject): Promise<Terms> {
  const { veleroNamespace } = deps.settings
  const namespace = claimNamespace(claim, veleroNamespace)
  if (namespace === veleroNamespace) return termsOfOperator(claim)
  const location = await readLocation(deps, locationOfTenant(claim, namespace))
  return termsOfTenant(claim, namespace, location === 'no such kind' ? undefined : location)
}
