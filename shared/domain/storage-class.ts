// Chooses the class of a staged disk: it must be one that provisions a new volume.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { StorageClass } from '#shared/api/types.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { CSI_DRIVER } from './volume.ts'

const DEFAULT_CLASS = [
  'storageclass.kubernetes.io/is-default-class',
  'storageclass.beta.kubernetes.io/is-default-class',
]

/** Chooses as Kubernetes does: the newest of several, and the first by name among those of the same age. */
export function defaultClass(classes: readonly StorageClass[]): StorageClass | undefined {
  const ageOf = ({ metadata }: KubeObject) => Date.parse(metadata.creationTimestamp ?? '') || 0
  const isDefault = ({ metadata }: KubeObject) => DEFAULT_CLASS.some((key) => metadata.annotations?.[key] === 'true')
  const byAge = (a: StorageClass, b: StorageClass) =>
    ageOf(b) - ageOf(a) || (a.metadata.name < b.metadata.name ? -1 : 1)
  return classes.filter(isDefault).sort(byAge)[0]
}

/** TerminalError `StorageClassMissing`: Kubernetes would bind an existing volume, or wait for one. */
export function noClass(why: string): TerminalError {
  return new TerminalError(
    'StorageClassMissing',
    `${why}: no new disk would be provisioned; restore with a StorageClass of ${CSI_DRIVER}`,
  )
}

/** Throws TerminalError `DriverUnsupported`: a class of another driver, or of none, makes no disk that Dormouse could fill. */
export function requireProvisioner(storageClass: StorageClass): StorageClass {
  const provisioner = storageClass.provisioner
  if (provisioner === CSI_DRIVER) return storageClass
  throw new TerminalError(
    'DriverUnsupported',
    `StorageClass ${storageClass.metadata.name} belongs to ${String(provisioner).slice(0, 80)}, not to ${CSI_DRIVER}: restore with another class`,
  )
}

export function waitsForConsumer(storageClass: StorageClass): boolean {
  return storageClass.volumeBindingMode === 'WaitForFirstConsumer'
}
