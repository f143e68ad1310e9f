// What must not exist any more when a run is over, and the check that everything is as before.

import type { KindName } from '#shared/api/kinds.ts'
import { KINDS } from '#shared/api/kinds.ts'
import type { Environment } from '#test/environment/environment.ts'
import { isHeldClaim } from '#test/support/held-claim.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import type { Bystander } from './bystander.ts'

/** Disks, volumes and claims that may exist. */
export type World = { disks: string[]; volumes: string[]; claims: string[] }

const OWN: KindName[] = ['Snapshot', 'Upload', 'CloneFromSnapshot', 'Download', 'DeleteSnapshot']
const FINALIZER = 'dormouse.dev/object'

export async function worldOf(environment: Environment): Promise<World> {
  const names = (objects: LooseObject[]) =>
    objects.map(({ metadata }) => `${metadata.namespace ?? ''}/${metadata.name}`).sort()
  return {
    disks: (await environment.vcenterState()).fcds.map(({ id }) => id).sort(),
    volumes: names(await environment.api.list('v1', 'PersistentVolume')),
    claims: names(await environment.api.list('v1', 'PersistentVolumeClaim')),
  }
}

/** One line for each leftover; `expected`: what may exist. */
export async function leftovers(environment: Environment, bystander: Bystander, expected: World): Promise<string[]> {
  const now = await worldOf(environment)
  const differences = (Object.keys(expected) as (keyof World)[]).flatMap((part) => [
    ...now[part].filter((name) => !expected[part].includes(name)).map((name) => `${part}: ${name} is left over`),
    ...expected[part].filter((name) => !now[part].includes(name)).map((name) => `${part}: ${name} is gone`),
  ])
  const held = (await environment.heldDisks()).map((id) => `disk ${id} is still kept from migrating`)
  return [...differences, ...held, ...(await snapshotsIn(environment, bystander)), ...(await atWork(environment))]
}

/** Objects that are still worked on, or whose status says so. */
export async function atWork(environment: Environment): Promise<string[]> {
  return [...(await heldLeases(environment)), ...(await unfinished(environment))]
}

/** Leases of objects, held or free; they go when their objects are over. */
export async function claimLeases(environment: Environment): Promise<string[]> {
  const leases = await environment.api.list('coordination.k8s.io/v1', 'Lease', 'velero')
  const names = leases.map(({ metadata }) => metadata.name)
  return names.filter((name) => OWN.some((kind) => name.startsWith(`${kind.toLowerCase()}-lease.`)))
}

async function snapshotsIn(environment: Environment, bystander: Bystander): Promise<string[]> {
  const { fcds } = await environment.vcenterState()
  return fcds
    .filter(({ id }) => id !== bystander.fcdId)
    .flatMap((disk) => disk.snapshots.map((one) => `snapshot ${one.description} of disk ${disk.name}`))
}

async function heldLeases(environment: Environment): Promise<string[]> {
  const leases = await environment.api.list('coordination.k8s.io/v1', 'Lease', 'velero')
  const held = leases.filter(isHeldClaim)
  return held.map((lease) => `Lease ${lease.metadata.name} held by ${lease['spec'].holderIdentity}`)
}

async function unfinished(environment: Environment): Promise<string[]> {
  const lists = await Promise.all(OWN.map((kind) => environment.api.list(KINDS[kind].apiVersion, kind)))
  return lists.flat().flatMap(({ kind, metadata }) => {
    const name = `${kind} ${metadata.name}`
    const step = metadata.labels?.['dormouse.dev/step']
    const finalizers = metadata['finalizers'] as string[] | undefined
    return [
      ...(step === 'done' ? [] : [`${name} is at step ${step}`]),
      ...(finalizers?.includes(FINALIZER) === true ? [`${name} has its finalizer`] : []),
    ]
  })
}
