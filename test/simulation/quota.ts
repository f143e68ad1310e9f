// A ResourceQuota in the simulation: so many claims a namespace, counted at admission as in Kubernetes; and admission rules for claims.

import type { KindName } from '#shared/api/kinds.ts'
import type { KindTypes } from '#shared/api/types.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import type { World } from './world.ts'

type Rule = (claim: LooseObject) => TerminalError | undefined

/** From now on, each new claim has to pass this check. */
export function ruleClaims(world: World, namespace: string, rule: Rule): void {
  const create = world.cluster.create.bind(world.cluster)
  world.cluster.create = async <Name extends KindName>(kind: Name, object: KindTypes[Name]) => {
    const isMeant = kind === 'PersistentVolumeClaim' && object.metadata.namespace === namespace
    const refusal = isMeant ? rule(object) : undefined
    if (refusal !== undefined) throw refusal
    return await create(kind, object)
  }
}

/** `lagMs`: for so long after its deletion a claim still counts, because the quota controller runs later. */
export function quotaOf(world: World, namespace: string, most: number, lagMs = 0): void {
  const left: { name: string; untilMs: number }[] = []
  world.cluster.onWrite((kind, before, after) => {
    if (kind === 'PersistentVolumeClaim' && after === undefined && before?.metadata.namespace === namespace)
      left.push({ name: before.metadata.name, untilMs: world.clock.nowMs() + lagMs })
  })
  ruleClaims(world, namespace, (claim) => {
    const there = world.cluster
      .peekAll('PersistentVolumeClaim')
      .filter(({ metadata }) => metadata.namespace === namespace)
    if (there.some(({ metadata }) => metadata.name === claim.metadata.name)) return undefined
    const used = there.length + left.filter(({ untilMs }) => untilMs > world.clock.nowMs()).length
    return used + 1 > most ? new TerminalError('QuotaExceeded', exceeded(claim, used, most)) : undefined
  })
}

function exceeded({ metadata }: LooseObject, used: number, most: number): string {
  const words = `requested: persistentvolumeclaims=1, used: persistentvolumeclaims=${used}, limited: persistentvolumeclaims=${most}`
  return `create PersistentVolumeClaim ${metadata.namespace}/${metadata.name}: 403 persistentvolumeclaims "${metadata.name}" is forbidden: exceeded quota: small, ${words}`
}
