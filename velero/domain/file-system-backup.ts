// Which volumes Velero's File System Backup takes, so that they are not taken twice (Velero, file-system-backup.md and
// pkg/util/podvolume, pkg/podvolume/backupper.go). Only volumes of running pods that are in the Backup themselves are, and only those that a container mounts: what is
// attached as a device, or mounted by an init container alone, Velero leaves out with a line in the log, and calls the Backup Completed.
// A volume policy stands above all this: volume-policies.ts.
//
//   default   annotation of the pod      meaning
//   opt-in    backup-volumes             these are taken
//   opt-in    backup-volumes-excludes    none: nothing is taken without a word
//   opt-out   backup-volumes-excludes    all but these are taken
//   opt-out   backup-volumes             none: all are taken anyway

import type { Backup, Pod } from '#shared/api/types.ts'
import { isInBackup } from './in-backup.ts'

/** Such volumes Velero takes for those of a ServiceAccount's token, whatever they are. */
const TOKEN = 'default-token'
const INCLUDES = 'backup.velero.io/backup-volumes'
/** Velero goes by the pods that are in the Backup: of one that is not, no volume is taken. */
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

/** Those that are claims; one pod may mount a claim under several names. */
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
  // Velero looks for the name with the spaces beside it. What is excluded only without them is taken by both: twice, never by nobody.
  return optOut ? !listed.some((name) => name.trim() === volume) : listed.includes(volume)
}
