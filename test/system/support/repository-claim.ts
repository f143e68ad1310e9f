// A BackupRepositoryClaim over the environment's bucket with other parameters, and what its condition Ready says.

import { randomUUID } from 'node:crypto'
import type { Condition } from '#shared/api/kinds.ts'
import type { Environment } from '#test/environment/environment.ts'
import { repositoryParameters, typeOf } from '#test/environment/main-job.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

export async function claimWith(environment: Environment, parameters: Record<string, string>): Promise<string> {
  const name = `brc-${randomUUID()}`
  await environment.api.create({
    ...typeOf('BackupRepositoryClaim'),
    metadata: { name, namespace: 'velero' },
    repositoryDriver: 's3repository.astrolabe.vmware-tanzu.com',
    repopsitoryParameters: { ...repositoryParameters(environment), ...parameters },
  })
  return name
}

export const readyOf = (claim: LooseObject | undefined): Condition | undefined =>
  claim?.['status']?.conditions?.find(({ type }: Condition) => type === 'Ready')

export async function untilReady(
  environment: Environment,
  name: string,
  isWanted: (ready: Condition) => boolean,
  namespace = 'velero',
): Promise<LooseObject> {
  const is = (claim: LooseObject | undefined) => {
    const ready = readyOf(claim)
    return ready !== undefined && isWanted(ready)
  }
  return (await environment.waitFor('BackupRepositoryClaim', namespace, name, is, 60_000)).object
}
