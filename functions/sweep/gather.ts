// Reads a kind one page at a time and keeps little of each object: objects that users write may have a megabyte each.

import type { KindName, KubeObject } from '#shared/api/kinds.ts'
import type { KindTypes, PersistentVolume } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import type { Naming } from '#shared/domain/orphans.ts'
import type { Cursor, PageOptions } from '#shared/ports/cluster.ts'

/**
 * Keeps a copy of what `keep` returns for each object, so that nothing else of the object stays in memory. `isLate`: stop after this page.
 */
export async function gather<Name extends KindName>(
  { cluster }: Pick<StepDeps, 'cluster'>,
  kind: Name,
  options: PageOptions,
  keep: (object: KindTypes[Name]) => object,
  isLate: () => boolean = () => false,
): Promise<KindTypes[Name][]> {
  const kept: KindTypes[Name][] = []
  let from: Cursor | undefined
  do {
    const { objects, next } = await cluster.page(kind, options, from)
    for (const object of objects) kept.push({ ...JSON.parse(JSON.stringify(keep(object))), kind })
    from = next
  } while (from !== undefined && !isLate())
  return kept
}

/** Longer than any valid id. An id that was cut here names nothing. */
const MAX_ID_CHARS = 1024

/** The ids of disks and disk snapshots that an object names. */
export function idsOf({ metadata, ...object }: KubeObject): object {
  const { spec, status } = object as Naming
  const id = (value: unknown) => (typeof value === 'string' ? value.slice(0, MAX_ID_CHARS) : undefined)
  return {
    metadata: { uid: metadata.uid },
    spec: { snapshotID: id(spec?.snapshotID) },
    status: { snapshotID: id(status?.snapshotID), volumeID: id(status?.volumeID) },
  }
}

/** The disk of a volume, and the claim that owns it. */
export function diskOf({ metadata, spec }: PersistentVolume): object {
  const { driver, volumeHandle } = spec?.csi ?? {}
  const { namespace, name, uid } = spec?.claimRef ?? {}
  const claimRef = spec?.claimRef === undefined ? undefined : { namespace, name, uid }
  return { metadata: { name: metadata.name }, spec: { csi: { driver, volumeHandle }, claimRef } }
}
