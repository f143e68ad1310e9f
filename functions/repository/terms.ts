// Decides which settings a claim may have, before any Secret is read or any server is contacted.

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

/** Read at each delivery, because an operator may open or close a location meanwhile. Throws the errors of termsOfTenant. */
export async function termsOf(deps: StepDeps, claim: BackupRepositoryClaim): Promise<Terms> {
  const { veleroNamespace } = deps.settings
  const namespace = claimNamespace(claim, veleroNamespace)
  if (namespace === veleroNamespace) return termsOfOperator(claim, await followedBy(deps, claim))
  const location = await readLocation(locationDeps(deps), locationOfTenant(claim, namespace))
  return termsOfTenant(deps.stores, claim, namespace, location === 'no such kind' ? undefined : location)
}

/** Also undefined for unusable parameters: the BackupRepository is created anyway and reports them. */
function locationIn({ stores }: StepDeps, spec: StoreSpec): string | undefined {
  try {
    return stores.parse(spec).location
  } catch (error) {
    if (error instanceof TerminalError) return undefined
    throw error
  }
}

/**
 * undefined: the settings do not follow a location. If an operator's settings differ from those of the named location, the settings count.
 * Parameters that cannot be parsed are reported when the repository is opened.
 */
async function followedBy(deps: StepDeps, claim: BackupRepositoryClaim): Promise<string | undefined> {
  const spec = specOfRepository(claim)
  const name = locationIn(deps, spec)
  const location = name === undefined ? undefined : await readLocation(locationDeps(deps), name)
  if (location === undefined || location === 'no such kind') return undefined
  return saysTheSame(deps.stores, spec, location) ? name : undefined
}
