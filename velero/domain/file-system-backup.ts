// Which volumes Velero's File System Backup takes, so that they are not taken twice (Velero, file-system-backup.md and
// pkg/util/podvolume, pkg/podvolume/backupper.go). Only volumes of running pods that are in the Backup themselves are, and only those that a container mounts: what is
// attached as a device, or mounted by an init container alone, Velero leaves out with a line in the log, and calls the Backup Completed.
//
//   default   annotation of the pod      meaning
//   opt-in    backup-volumes             these are taken
//   opt-in    backup-volumes-excludes    none: nothing is taken without a word
//   opt-out   backup-volumes-excludes    all but these are taken
//   opt-out   backup-volumes             none: all are taken anyway

import type { KubeObject } from '#shared/api/kinds.ts'
import { isInBackup } from './in-backup.ts'

const INCLUDES = 'backup.velero.io/backup-volumes'
/** Velero goes by the pods that are in the Backup: of one that is not, no volume is taken. */
const POD = ['pods', 'pod', 'po']
const EXCLUDES = 'backup.velero.io/backup-volumes-excludes'

/** The pod that makes File System Backup take the claim, as its name. undefined: none does. */
export function podWithFileSystemBackup(
  pods: readonly KubeObject[],
  claimName: string,
  backup: KubeObject,
): string | undefined {
  const optOut = backup['spec']?.defaultVolumesToFsBackup === true
  const isTaken = (pod: KubeObject, volume: string) => takes(pod, volume, optOut) && isReadable(pod, volume)
  const isAsked = (pod: KubeObject) => isRunning(pod) && isInBackup(pod, POD, backup)
  return pods.find((pod) => isAsked(pod) && volumesOf(pod, claimName).some((volume) => isTaken(pod, volume)))?.metadata
    .name
}

function isRunning(pod: KubeObject): boolean {
  return pod['status']?.phase === 'Running'
}

/** One pod may mount a claim under several names. */
function volumesOf(pod: KubeObject, claimName: string): string[] {
  const volumes: { name?: unknown; persistentVolumeClaim?: { claimName?: unknown } }[] = pod['spec']?.volumes ?? []
  return volumes
    .filter((volume) => volume.persistentVolumeClaim?.claimName === claimName)
    .map(({ name }) => String(name))
}

type Uses = { volumeMounts?: { name?: unknown }[]; volumeDevices?: { name?: unknown }[] }

function isReadable(pod: KubeObject, volume: string): boolean {
  const containers: Uses[] = pod['spec']?.containers ?? []
  const uses = (by: keyof Uses) => containers.some((container) => container[by]?.some(({ name }) => name === volume))
  return uses('volumeMounts') && !uses('volumeDevices')
}

function takes(pod: KubeObject, volume: string, optOut: boolean): boolean {
  const listed = (pod.metadata.annotations?.[optOut ? EXCLUDES : INCLUDES] ?? '').split(',').map((name) => name.trim())
  return listed.includes(volume) !== optOut
}
