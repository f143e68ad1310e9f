// Whether Velero's CSI feature is on, and which VolumeSnapshotClass it would use for the vSphere driver (Velero 1.18.3:
// pkg/util/csi/volume_snapshot.go, GetVolumeSnapshotClassForStorageClass). A claim or a Backup may name another class.

import type { Deployment, VolumeSnapshotClass } from '#shared/api/types.ts'
import { CSI_DRIVER } from '#shared/domain/volume.ts'

const CHOSEN_LABEL = 'velero.io/csi-volumesnapshot-class'
const DEFAULT_ANNOTATION = 'snapshot.storage.kubernetes.io/is-default-class'

/** By the flags of `velero server`, in the form `--features=A,B` or `--features A,B`. */
export function hasCsiFeature(deployment: Deployment): boolean {
  const containers: { command?: unknown; args?: unknown }[] = deployment.spec?.template?.spec?.containers ?? []
  const words = containers.flatMap(({ command, args }) => [command, args].flat()).map(String)
  const features = words.flatMap((word, index) => {
    if (word.startsWith('--features=')) return word.slice('--features='.length).split(',')
    return word === '--features' ? (words[index + 1] ?? '').split(',') : []
  })
  return features.some((feature) => feature.trim() === 'EnableCSI')
}

/** The class that Velero uses; undefined: it finds none and fails each claim of the driver. If several are marked, the first by name. */
export function veleroSnapshotClass(classes: readonly VolumeSnapshotClass[]): VolumeSnapshotClass | undefined {
  const own = classes
    .filter((each) => each.driver === CSI_DRIVER)
    .sort((one, other) => (one.metadata.name < other.metadata.name ? -1 : 1))
  const labelled = own.find(({ metadata }) => metadata.labels?.[CHOSEN_LABEL] !== undefined)
  const standard = own.find(({ metadata }) => metadata.annotations?.[DEFAULT_ANNOTATION] !== undefined)
  return labelled ?? standard ?? (own.length === 1 ? own[0] : undefined)
}
