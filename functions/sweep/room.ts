// Limits what the sweep keeps in memory: a number of objects for each tenant, and a number in total.

import type { SteppedKind } from '#shared/api/kinds.ts'
import type { KindTypes, SteppedObject } from '#shared/api/types.ts'
import { rankOf } from '#shared/domain/shares.ts'
import { tenantOf } from '#shared/domain/tenant.ts'

type RoomOptions = {
  perTenant: number
  inAll: number
  /** Changes from sweep to sweep: if there are too many objects, a different set is kept each time. */
  salt: number
  /** The object is kept in any case. */
  isNeeded: (object: SteppedObject) => boolean
}

type Kept = { object: SteppedObject; rank: number }

export class Room {
  readonly #options: RoomOptions
  readonly #tenants = new Map<string, Map<string, Kept>>()
  /** The tenant of each object, by kind, namespace and name. */
  readonly #owners = new Map<string, string>()
  readonly #crowded = new Set<string>()
  #perTenant: number
  #count = 0

  constructor(options: RoomOptions) {
    this.#options = options
    this.#perTenant = options.perTenant
  }

  /** Replaces an object that was added before. */
  add(object: SteppedObject): void {
    const tenant = tenantOf(object)
    const kept = this.#tenants.get(tenant) ?? new Map<string, Kept>()
    this.#tenants.set(tenant, kept)
    const rank = this.#options.isNeeded(object) ? -1 : rankOf(object, this.#options.salt)
    const before = kept.size
    kept.set(placeOf(object), { object, rank })
    this.#owners.set(placeOf(object), tenant)
    this.#count += kept.size - before
    if (kept.size > this.#perTenant * 1.25) this.#thin(tenant, kept)
    if (this.#count > this.#options.inAll) this.#thinAll()
  }

  get<Name extends SteppedKind>(kind: Name, namespace: string | undefined, name: string): KindTypes[Name] | undefined {
    const place = `${kind}/${namespace}/${name}`
    const kept = this.#tenants.get(this.#owners.get(place) ?? '')?.get(place)
    return kept !== undefined && isOfKind(kept.object, kind) ? kept.object : undefined
  }

  /** Sorted, so that the order does not depend on which object was read first. */
  all(): SteppedObject[] {
    const kept = [...this.#tenants.values()].flatMap((each) => [...each])
    return kept.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, { object }]) => object)
  }

  /** Not all of this tenant's objects found room. */
  isCrowded(tenant: string): boolean {
    return this.#crowded.has(tenant)
  }

  isAnyCrowded(): boolean {
    return this.#crowded.size > 0
  }

  #thin(tenant: string, kept: Map<string, Kept>): void {
    const ranked = [...kept].sort(([, a], [, b]) => a.rank - b.rank)
    for (const [place, { rank }] of ranked.slice(this.#perTenant)) {
      if (rank < 0) continue
      kept.delete(place)
      this.#owners.delete(place)
      this.#count--
      this.#crowded.add(tenant)
    }
  }

  /** Halves the limit until the total fits, so the tenants with the most objects lose the most. */
  #thinAll(): void {
    while (this.#count > this.#options.inAll && this.#perTenant > 1) {
      this.#perTenant = Math.floor(this.#perTenant / 2)
      for (const [tenant, kept] of this.#tenants) if (kept.size > this.#perTenant) this.#thin(tenant, kept)
    }
  }
}

function isOfKind<Name extends SteppedKind>(object: SteppedObject, kind: Name): object is KindTypes[Name] {
  return object.kind === kind
}

function placeOf({ kind, metadata }: SteppedObject): string {
  return `${kind}/${metadata.namespace}/${metadata.name}`
}
