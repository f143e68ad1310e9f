// The hand-over to a claim that Velero has made: the staged disk leaves its first volume object and gets one of the name that the
// claim waits for. One after the other: vSphere's driver takes the disk of a retained volume out of its inventory when the volume
// object goes, and puts it in when one comes.

import type { KubeObject } from '#shared/api/kinds.ts'
import {
  formatRestoredVolume,
  isRestoredVolume,
  parseRestoredVolume,
  type RestoredVolume,
  restoredVolume,
  waitsFor,
} from '#shared/domain/restored-volume.ts'
import { ConflictError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { Claim } from '#shared/steps/claim.ts'
import type { StepDeps } from '#shared/steps/deps.ts'
import { lookUntil } from '#shared/steps/look.ts'
import { dropStaging } from './provision.ts'
import { requireVolume, setReclaimPolicy, targetNotBound, wantedPolicy } from './volume.ts'
import { readWaitingClaim } from './waiting-claim.ts'

/** `claimName`: of Velero's claim; `volumeName`: what it waits for. */
export async function giveToWaitingClaim(
  deps: StepDeps,
  claim: Claim,
  claimName: string,
  volumeName: string,
): Promise<void> {
  const plan = await planned(deps, claim, claimName, volumeName)
  if ((await ownVolume(deps, plan)) === undefined) {
    await dropStaged(deps, claim)
    await createVolume(deps, plan)
  }
  await awaitBound(deps, claim, plan)
  await setReclaimPolicy(deps, await requireVolume(deps, volumeName), wantedPolicy(claim.latest()))
  await claim.patchStatus({ volumeName })
}

/** Written before anything is taken away. */
async function planned(deps: StepDeps, claim: Claim, claimName: string, volumeName: string): Promise<RestoredVolume> {
  const clone = claim.latest()
  const known = clone['status'].restoredVolume
  if (known !== undefined) return parseRestoredVolume(known)
  const target = await readWaitingClaim(deps, clone, claimName, volumeName)
  // It was there when the disk was made for it.
  if (target === undefined) throw targetGone(clone.metadata.namespace ?? '', claimName)
  const staged = await requireVolume(deps, String(clone['status'].volumeName))
  const plan = restoredVolume(clone, staged, target, volumeName)
  const there = await readVolume(deps, plan)
  if (there !== undefined && !isRestoredVolume(there, plan))
    throw new TerminalError('VolumeNameTaken', taken(volumeName))
  await claim.patchStatus({ restoredVolume: formatRestoredVolume(plan) })
  return plan
}

async function readVolume(deps: StepDeps, plan: RestoredVolume): Promise<KubeObject | undefined> {
  return await deps.cluster.read('PersistentVolume', undefined, plan.metadata.name)
}

/** RetryableError when the name is taken, and not the end: the disk may have no other volume object by now. */
async function ownVolume(deps: StepDeps, plan: RestoredVolume): Promise<KubeObject | undefined> {
  const volume = await readVolume(deps, plan)
  if (volume === undefined || isRestoredVolume(volume, plan)) return volume
  throw new RetryableError('VolumeNameTaken', taken(plan.metadata.name))
}

/** Staging claim and first volume object; the disk stays. */
async function dropStaged(deps: StepDeps, claim: Claim): Promise<void> {
  const name = String(claim.latest()['status'].volumeName)
  const read = () => deps.cluster.read('PersistentVolume', undefined, name)
  const staged = await read()
  if (staged !== undefined) await setReclaimPolicy(deps, staged, 'Retain')
  await dropStaging(deps, claim)
  const released = await read()
  if (released === undefined) return
  if (released['spec'].persistentVolumeReclaimPolicy !== 'Retain')
    throw new RetryableError('VolumeObjectStays', `PersistentVolume ${name} is not set to Retain: somebody changes it`)
  await deps.cluster.delete('PersistentVolume', released, 'unchanged')
  if (await lookUntil(deps, claim, async () => (await read()) === undefined)) return
  throw new RetryableError(
    'VolumeObjectStays',
    `PersistentVolume ${name} is deleted, but not gone: which of its finalizers holds it?`,
  )
}

async function createVolume(deps: StepDeps, plan: RestoredVolume): Promise<void> {
  const { metadata, spec } = plan
  try {
    await deps.cluster.create('PersistentVolume', { apiVersion: 'v1', kind: 'PersistentVolume', metadata, spec })
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
    await ownVolume(deps, plan)
  }
}

/** A claim of the same name that came after Velero's may have the volume too: its data is whole. */
async function awaitBound(deps: StepDeps, claim: Claim, plan: RestoredVolume): Promise<void> {
  const { namespace, name } = plan.spec.claimRef
  const bound = await lookUntil(deps, claim, async () => {
    const target = await deps.cluster.read('PersistentVolumeClaim', namespace, name)
    const other = target?.['spec']?.volumeName
    if (target !== undefined && waitsFor(target, plan.metadata.name)) return target['status']?.phase === 'Bound'
    if (target !== undefined && (other === undefined || other === '')) return false
    await discard(deps, plan)
    throw targetGone(namespace, name)
  })
  if (!bound) throw targetNotBound(namespace, name, plan.metadata.name)
}

/** Kubernetes sees a volume whose claim is gone, and the driver deletes it together with its disk. */
async function discard(deps: StepDeps, plan: RestoredVolume): Promise<void> {
  const volume = await ownVolume(deps, plan)
  if (volume === undefined) return
  await deps.cluster.patch('PersistentVolume', volume, {
    spec: { persistentVolumeReclaimPolicy: 'Delete', claimRef: { uid: plan.claimUID } },
  })
}

function targetGone(namespace: string, name: string): TerminalError {
  return new TerminalError(
    'TargetGone',
    `PersistentVolumeClaim ${namespace}/${name} was deleted while it was restored: the restored disk is removed`,
  )
}

function taken(name: string): string {
  return `PersistentVolume ${name} exists, but was not made by this restore: delete it`
}
