// Which volumes Velero's File System Backup takes, so that they are not backed up twice (Velero, file-system-backup.md and
// pkg/util/podvolume, pkg/podvolume/backupper.go). It takes only volumes of running pods that are in the Backup themselves, and only volumes
// that a container mounts. Velero leaves out volumes that are attached as a device, or that only an init container mounts, with a line in the
// log, and calls the Backup Completed. A volume policy overrides all this: volume-policies.ts.
//
//   default   annotation of the pod      meaning
//   opt-in    backup-volumes             the named volumes are taken
//   opt-in    backup-volumes-excludes    none: no volume is taken unless it is named
//   opt-out   backup-volumes-excludes    all but the named volumes are taken
//   opt-out   backup-volumes             none: all are taken anyway

import type { Backup, Pod } from '#shared/api/types.ts'
import { isInBackup } from './in-backup.ts'

/** Velero takes a volume of this name for a ServiceAccount's token, whatever it is. */
const TOKEN = 'default-token'
const INCLUDES = 'backup.velero.io/backup-volumes'
/** Velero goes through the pods in the Backup: it takes no volume of a pod that is not in it. */
const POD = ['pods', 'pod', 'po']
const EXCLUDES = 'backup.velero.io/backup-volumes-excludes'

/** The claims that File System Backup takes through this pod, by name. */
export function claimsTakenThrough(pod: Pod, backup: Backup): string[] {
  const volumes = volumesOf(pod)
  if (volumes.length === 0 || !isRunning(pod) || !isInBackup(pod, POD, backup)) return []
  const optOut = backup.spec?.defaultVolumesToFsBackup === true
  return volumes
    .filter(({ name }) => takes(pod, name, optOut) && isReadable(pod, name))
    .map(({ claimName }) => claimName)
}

function isRunning(pod: Pod): boolean {
  return pod.status?.phase === 'Running' && pod.metadata.deletionTimestamp === undefined
}

/** Volumes that are claims; one pod may mount a claim under several names. */
function volumesOf(pod: Pod): { name: string; claimName: string }[] {
  const volumes: { name?: unknown; persistentVolumeClaim?: { claimName?: unknown } }[] = pod.spec?.volumes ?? []
  return volumes
    .map(({ name, persistentVolumeClaim }) => ({ name: String(name), claimName: persistentVolumeClaim?.claimName }))
    .filter((volume): volume is { name: string; claimName: string } => typeof volume.claimName === 'string')
    .filter(({ name }) => !name.startsWith(TOKEN))
}

type Uses = { volumeMounts?: { name?: unknown }[]; volumeDevices?: { name?: unknown }[] }

function isReadable(pod: Pod, volume: string): boolean {
  const containers: Uses[] = pod.spec?.containers ?? []
  const uses = (by: keyof Uses) => containers.some((container) => container[by]?.some(({ name }) => name === volume))
  return uses('volumeMounts') && !uses('volumeDevices')
}

function takes(pod: Pod, volume: string, optOut: boolean): boolean {
  const listed = (pod.metadata.annotations?.[optOut ? EXCLUDES : INCLUDES] ?? '').split(',')
  // Velero compares the name with the spaces around it. A volume that is excluded only without the spaces is backed up by both: twice is
  // better than never.
  return optOut ? !listed.some((name) => name.trim() === volume) : listed.includes(volume)
}
