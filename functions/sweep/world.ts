// What one sweep knows: a short extract of each object, the Leases, and which parts could not be read.

import { STEPPED_KINDS, type SteppedKind } from '#shared/api/kinds.ts'
import { type NamespacedName, parseNamespacedName } from '#shared/api/names.ts'
import type {
  CloneFromSnapshot,
  Download,
  KindTypes,
  Lease,
  Snapshot,
  SteppedObject,
  TransferObject,
} from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { readSlots, type Slots } from '#shared/controllers/slots.ts'
import { glance } from '#shared/domain/glance.ts'
import { slotHolder } from '#shared/domain/slots.ts'
import { isHandingOver } from '#shared/domain/staged-volume.ts'
import { cloneReference, isDownloadOf } from '#shared/domain/staging.ts'
import type { Unread } from '#shared/domain/sweep.ts'
import { asError } from '#shared/kernel/errors.ts'
import type { ListOptions, PageOptions } from '#shared/ports/cluster.ts'
import { type Listing, listKind } from './listing.ts'
import { Room } from './room.ts'

export type Limits = {
  perTenant: number
  inAll: number
  floodBytes?: number
}

/** About a kilobyte per object, and twice that for hostile ones. */
const LIMITS: Limits = { perTenant: 6000, inAll: 30_000 }

export type World = {
  veleroNamespace: string
  objects: SteppedObject[]
  /** Downloads whose volume is being handed over, by the clone that they name. */
  handOvers: Map<string, Download[]>
  /** undefined: the Leases could not be read. */
  leases: Map<string, Lease> | undefined
  /** The slots as they were before the objects were read. undefined: they could not be read. */
  slots: Slots | undefined
  find: <Name extends SteppedKind>(
    kind: Name,
    namespace: string | undefined,
    name: unknown,
  ) => KindTypes[Name] | undefined
  /** Whether an object that is not found does not exist. */
  knows: (kind: SteppedKind, namespace: string, tenant: string) => boolean
  /** The kind was listed. Also true for an unknown kind, because no objects of it exist. */
  isListed: (kind: string) => boolean
  /** Every object of the kind was read and kept. */
  knowsAll: (kind: SteppedKind) => boolean
}

/** Uploads and Downloads in other namespaces are ignored. */
export function placeOf(kind: string, veleroNamespace: string): ListOptions {
  return kind === 'Upload' || kind === 'Download' ? { namespace: veleroNamespace } : {}
}

export async function readWorld(deps: StepDeps, isLate: () => boolean, limits: Limits = LIMITS): Promise<World> {
  const { veleroNamespace } = deps.settings
  const slots = await orUndefined(deps, 'slots', () => readSlots(deps))
  const holders = new Set(slots?.held)
  const room = new Room({
    ...limits,
    salt: deps.clock.nowMs(),
    isNeeded: (object) => holders.has(slotHolder(object)),
  })
  const { floodBytes } = limits
  const read = async (kind: SteppedKind): Promise<[SteppedKind, Listing]> => {
    const options: PageOptions = placeOf(kind, veleroNamespace)
    const work = { kind, options, take: (object: SteppedObject) => room.add(object), isLate }
    return [kind, await listKind(deps, { ...work, ...(floodBytes === undefined ? {} : { floodBytes }) })]
  }
  const listings = new Map(await Promise.all(STEPPED_KINDS.map(read)))
  // The Leases are read after the objects: an object whose holder began meanwhile then does not look dead.
  const leases = await orUndefined(deps, 'Leases', () => readLeases(deps))
  return { veleroNamespace, leases, slots, ...knowledgeOf(room, listings) }
}

function knowledgeOf(room: Room, listings: ReadonlyMap<string, Listing>) {
  const objects = room.all().sort((a, b) => STEPPED_KINDS.indexOf(a.kind) - STEPPED_KINDS.indexOf(b.kind))
  const listing = (kind: SteppedKind) => listings.get(kind) ?? { whole: false, unseen: new Set() }
  const handOvers = objects.filter((object) => object.kind === 'Download').filter(isHandingOver)
  return {
    objects,
    handOvers: Map.groupBy(handOvers, ({ spec }) => String(spec?.clonefromSnapshotReference ?? '')),
    find: <Name extends SteppedKind>(kind: Name, namespace: string | undefined, name: unknown) =>
      typeof name === 'string' ? room.get(kind, namespace, name) : undefined,
    knows: (kind: SteppedKind, namespace: string, tenant: string) =>
      listing(kind).whole && !listing(kind).unseen.has(namespace) && !room.isCrowded(tenant),
    isListed: (kind: string) => listings.get(kind)?.whole !== false,
    knowsAll: (kind: SteppedKind) => listing(kind).whole && listing(kind).unseen.size === 0 && !room.isAnyCrowded(),
  }
}

async function readLeases(deps: StepDeps): Promise<Map<string, Lease>> {
  const leases = new Map<string, Lease>()
  let from: Parameters<StepDeps['cluster']['page']>[2]
  do {
    const { objects, next } = await deps.cluster.page('Lease', { namespace: deps.settings.veleroNamespace }, from)
    for (const lease of objects) leases.set(lease.metadata.name, glance('Lease', lease))
    from = next
  } while (from !== undefined)
  return leases
}

async function orUndefined<T>(deps: StepDeps, what: string, read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read()
  } catch (error) {
    deps.log.warn({ err: asError(error) }, `could not read the ${what}; what depends on them waits for the next sweep`)
    return undefined
  }
}

/** The Snapshot that an Upload was made for, or the CloneFromSnapshot that a Download was made for. */
export function ownerOf(
  world: World,
  object: SteppedObject,
): { owner: Snapshot | CloneFromSnapshot | undefined; isUnread: boolean } {
  if (object.kind !== 'Upload' && object.kind !== 'Download') return { owner: undefined, isUnread: false }
  const [ownerKind, reference] =
    object.kind === 'Upload'
      ? (['Snapshot', object.spec?.snapshotReference] as const)
      : (['CloneFromSnapshot', object.spec?.clonefromSnapshotReference] as const)
  const { namespace = '', name }: Partial<NamespacedName> = parseNamespacedName(reference) ?? {}
  const owner = world.find(ownerKind, namespace, name)
  return { owner, isUnread: owner === undefined && !world.knows(ownerKind, namespace, namespace) }
}

/** A Download that hands its volume over to this clone. The name in the clone's status is not used, because a user may have written it. */
function handOverTo({ handOvers }: World, clone: SteppedObject): Download | undefined {
  if (clone.kind !== 'CloneFromSnapshot') return undefined
  return handOvers.get(cloneReference(clone))?.find((download) => isDownloadOf(download, clone))
}

/** The transfer that a Snapshot or CloneFromSnapshot names. */
export function partnerOf(
  world: World,
  object: SteppedObject,
): { partner: TransferObject | undefined; isUnread: boolean } {
  const { metadata } = object
  if (object.kind !== 'Snapshot' && object.kind !== 'CloneFromSnapshot') return { partner: undefined, isUnread: false }
  const [partnerKind, name] =
    object.kind === 'Snapshot'
      ? (['Upload', object.status?.uploadName] as const)
      : (['Download', object.status?.downloadName] as const)
  const partner = handOverTo(world, object) ?? world.find(partnerKind, world.veleroNamespace, name)
  const isKnown = world.knows(partnerKind, world.veleroNamespace, metadata.namespace ?? '')
  return { partner, isUnread: partner === undefined && !isKnown }
}

export function unreadOf(world: World, object: SteppedObject): ReadonlySet<Unread> {
  const unread: Unread[] = []
  if (world.leases === undefined) unread.push('lease')
  if (partnerOf(world, object).isUnread) unread.push('partner')
  if (ownerOf(world, object).isUnread) unread.push('owner')
  return new Set(unread)
}
