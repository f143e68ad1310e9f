// The properties that a restored volume takes over from the backed-up volume, besides its data. It keeps its own disk, driver, Secrets and
// attributes, and the place of its disk.

import type { ChangeOf, Node, PersistentVolume } from '#shared/api/types.ts'
import { joinedModes } from './access-modes.ts'
import { hasNode } from './node-affinity.ts'
import type { VolumeRecord } from './volume-record.ts'

/**
 * The properties from the backup and from the claim that gets the volume. `nodes`: only needed if `asksForNodes`. `record` undefined: an
 * older backup.
 */
export type Wanted = { record: VolumeRecord | undefined; claimModes: unknown; nodes: readonly Node[] }

/** The new volume does not say where its disk is, but the old one said where it should be. */
export function asksForNodes(staged: PersistentVolume, record: VolumeRecord | undefined): boolean {
  return record?.nodeAffinity !== undefined && staged.spec.nodeAffinity === undefined
}

/** False: no Pod could ever use the volume with the recorded affinity, so it is left out. */
export function isPlaceKept(staged: PersistentVolume, { record, nodes }: Wanted): boolean {
  return !asksForNodes(staged, record) || (record?.nodeAffinity !== undefined && hasNode(record.nodeAffinity, nodes))
}

/** The volume as it should be. Its reclaim policy is set last, because it is `Retain` during the hand-over. */
export function takenOver(staged: PersistentVolume, wanted: Wanted): PersistentVolume {
  const { record, claimModes } = wanted
  const { accessModes, ...spec } = staged.spec
  const modes = joinedModes(claimModes, accessModes, record?.accessModes)
  if (record === undefined) return { ...staged, spec: { ...spec, accessModes: modes } }
  const { labels, annotations } = staged.metadata
  return {
    ...staged,
    metadata: {
      ...staged.metadata,
      labels: { ...labels, ...record.labels },
      annotations: { ...annotations, ...record.annotations },
    },
    spec: { ...mountedAs(spec, record), ...placeOf(staged, wanted), accessModes: modes },
  }
}

/** Mount properties do not apply to a raw block device. */
function mountedAs(
  spec: PersistentVolume['spec'],
  { fsType, readOnly, mountOptions }: VolumeRecord,
): PersistentVolume['spec'] {
  const { csi: given, mountOptions: _ofClass, ...rest } = spec
  const { fsType: ofClass, ...csi } = given as NonNullable<typeof given>
  const isBlock = spec.volumeMode === 'Block'
  const named = isBlock ? ofClass : fsType
  return {
    ...rest,
    ...(isBlock || mountOptions === undefined ? {} : { mountOptions }),
    csi: { ...csi, ...(named === undefined ? {} : { fsType: named }), ...(readOnly === true ? { readOnly } : {}) },
  }
}

function placeOf(staged: PersistentVolume, wanted: Wanted): Pick<PersistentVolume['spec'], 'nodeAffinity'> {
  const { record } = wanted
  return record?.nodeAffinity !== undefined && asksForNodes(staged, record) && isPlaceKept(staged, wanted)
    ? { nodeAffinity: record.nodeAffinity }
    : {}
}

/** True if a field differs that Kubernetes does not allow to change on a volume object. A new object over the same disk is then needed. */
export function needsOtherObject(staged: PersistentVolume, wanted: PersistentVolume): boolean {
  const of = ({ fsType = '', readOnly = false }: Partial<NonNullable<PersistentVolume['spec']['csi']>> = {}) =>
    [fsType, readOnly].join()
  return of(staged.spec.csi) !== of(wanted.spec.csi)
}

/** The other differences, as a merge patch of the existing object. */
export function changesTo(staged: PersistentVolume, wanted: PersistentVolume): ChangeOf<'PersistentVolume'> {
  const { labels, annotations } = wanted.metadata
  const { mountOptions, accessModes, nodeAffinity } = wanted.spec
  const had = staged.spec
  return {
    metadata: { ...(labels === undefined ? {} : { labels }), ...(annotations === undefined ? {} : { annotations }) },
    spec: {
      accessModes,
      ...(mountOptions === undefined && had.mountOptions === undefined ? {} : { mountOptions: mountOptions ?? null }),
      ...(nodeAffinity === undefined || had.nodeAffinity !== undefined ? {} : { nodeAffinity }),
    },
  }
}
