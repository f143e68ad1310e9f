// What a user types: velero backup create, restore create, backup delete. Each function resolves when Velero has finished, and rejects when
// the phase is not `Completed`.

import { KINDS } from '#shared/api/kinds.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import type { Environment } from '../environment.ts'
import { Recorder } from '../kubernetes/wait.ts'
import { type Progress, uploadOf } from '../main-job.ts'
import { VELERO_NAMESPACE } from '../options.ts'
import { type Volume, volumeOf } from '../storage/volume.ts'

type Claim = { namespace: string; name: string }
type OnProgress = (progress: Progress) => void
export type Backup = { name: string; progress: Progress; seconds: number }

export async function backUp(
  environment: Environment,
  name: string,
  { namespace }: Claim,
  onProgress: OnProgress,
): Promise<Backup> {
  const command = ['backup', 'create', name, '--include-namespaces', namespace, '--wait']
  const seconds = await following(environment, 'Upload', onProgress, () => environment.velero(...command))
  await requireCompleted(environment, 'Backup', name)
  const snapshots = await environment.api.list(KINDS.Snapshot.apiVersion, 'Snapshot', namespace)
  const snapshot = snapshots.find(({ metadata }) => metadata.labels?.['velero.io/backup-name'] === name)
  if (snapshot === undefined) throw new Error(`Backup ${name} is Completed without a Snapshot in ${namespace}`)
  const upload = await uploadOf(environment, snapshot)
  return { name, progress: upload['status']?.progress ?? {}, seconds }
}

/** Restores into another namespace, which Velero makes. */
export async function restore(
  environment: Environment,
  backup: string,
  claim: Claim,
  namespace: string,
  onProgress: OnProgress,
): Promise<{ volume: Volume; seconds: number }> {
  const mapping = ['--namespace-mappings', `${claim.namespace}:${namespace}`]
  const command = ['restore', 'create', namespace, '--from-backup', backup, ...mapping, '--wait']
  const seconds = await following(environment, 'Download', onProgress, () => environment.velero(...command))
  await requireCompleted(environment, 'Restore', namespace)
  return { volume: await volumeOf(environment, namespace, claim.name), seconds }
}

export async function remove(environment: Environment, backup: string): Promise<void> {
  await environment.velero('backup', 'delete', backup, '--confirm')
  await environment.waitFor('Backup', VELERO_NAMESPACE, backup, (object) => object === undefined, 120_000)
}

async function requireCompleted(environment: Environment, kind: 'Backup' | 'Restore', name: string): Promise<void> {
  const wanted = { apiVersion: 'velero.io/v1', kind, namespace: VELERO_NAMESPACE, name }
  const phase: string | undefined = (await environment.api.get(wanted))?.['status']?.phase
  if (phase === 'Completed') return
  const told = await environment.velero(kind.toLowerCase(), 'describe', name, '--details')
  throw new Error(`${kind} ${name} ended as ${phase}, want Completed:\n${told}`)
}

/** Reports the progress of transfers while `act` runs; resolves to the seconds that it took. */
async function following(
  environment: Environment,
  kind: 'Upload' | 'Download',
  onProgress: OnProgress,
  act: () => Promise<unknown>,
): Promise<number> {
  const recorder = new Recorder(environment.api, kind, VELERO_NAMESPACE)
  recorder.onSeen(({ object }) => tell(object, onProgress))
  await recorder.start()
  const startMs = performance.now()
  try {
    await act()
    return (performance.now() - startMs) / 1000
  } finally {
    recorder.stop()
  }
}

/** Earlier transfers are listed as well, but they have ended. */
function tell(
  { status }: LooseObject & { status?: { phase?: string; progress?: Progress } },
  onProgress: OnProgress,
): void {
  if (status?.phase === 'InProgress') onProgress(status.progress ?? {})
}
