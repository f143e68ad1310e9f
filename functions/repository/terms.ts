// What a claim may have. Decided before a Secret is read or a server is spoken to.

import type { BackupRepositoryClaim } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { locationDeps, readLocation } from '#shared/controllers/storage-location.ts'
import { saysTheSame } from '#shared/domain/present-location.ts'
import {
  claimNamespace,
  locationOfTenant,
  type Terms,
  termsOfOperator,
  termsOfTenant,
} from '#shared/domain/repository-claim.ts'
import { type StoreSpec, specOfRepository } from '#shared/domain/store-rules.ts'
import { TerminalError } from '#shared/kernel/errors.ts'

/** Read anew at each look, as an operator may open or close a location meanwhile. Throws what termsOfTenant throws. */
export async function termsOf(deps: StepDeps, claim: BackupRepositoryClaim): Promise<Terms> {
  const { veleroNamespace } = deps.settings
  const namespace = claimNamespace(claim, veleroNamespace)
  if (namespace === veleroNamespace) return termsOfOperator(claim, await followedBy(deps, claim))
  const location = await readLocation(locationDeps(deps), locationOfTenant(claim, namespace))
  return termsOfTenant(deps.stores, claim, namespace, location === 'no such kind' ? undefined : location)
}

/** undefined also for parameters that cannot be used: the BackupRepository is there to say so. */
function locationIn({ stores }: StepDeps, spec: StoreSpec): string | undefined {
  try {
    return stores.parse(spec).location
  } catch (error) {
    if (error instanceof TerminalError) return undefined
    throw error
  }
}

/** An operator who writes other settings beside a location's name means them. What cannot be read is told when it is opened. */
async function followedBy(deps: StepDeps, claim: BackupRepositoryClaim): Promise<string | undefined> {
  const spec = specOfRepository(claim)
  const name = locationIn(deps, spec)
  const location = name === undefined ? undefined : await readLocation(locationDeps(deps), name)
  if (location === undefined || location === 'no such kind') return undefined
  return saysTheSame(deps.stores, spec, location) ? name : undefined
}
