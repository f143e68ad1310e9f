// Velero's part of a simulation run: a Backup of one claim, and the plugin's actions at work beside the functions.

import * as assert from 'uvu/assert'
import { KiB } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { stores } from '#test/support/stores.ts'
import { pvcBackupper } from '../../velero/actions/backupper.ts'
import type { ActionDeps } from '../../velero/actions/deps.ts'
import type { ActionLog, BackupItemAction } from '../../velero/actions.ts'
import { noiseOf } from './choices.ts'
import { aVolume } from './objects.ts'
import { World } from './world.ts'

export const silent: ActionLog = { info() {}, warn() {} }

export type Velero = { world: World; deps: ActionDeps; claim: LooseObject; backupper: BackupItemAction }

/** A claim with data, and a Backup that has begun. */
export function aVelero(itemOperationTimeout = '4h0m0s'): Velero {
  const world = new World(7)
  world.volumes.write(aVolume(world, 'data'), 64 * KiB, noiseOf('data', 64 * KiB))
  seedOf(world, 'BackupStorageLocation', 'default', { provider: 'aws', objectStorage: { bucket: 'backups' } })
  seedOf(world, 'Backup', 'nightly', { storageLocation: 'default', itemOperationTimeout })
  const claim = world.cluster.peek('PersistentVolumeClaim', 'app', 'data')
  assert.ok(claim)
  const deps = actIn(world)
  return { world, deps, claim, backupper: pvcBackupper(deps) }
}

/** Creates an object of Velero in its namespace, in its first phase. */
export function seedOf(
  world: World,
  kind: 'Backup' | 'Restore' | 'BackupStorageLocation',
  name: string,
  spec: object,
): LooseObject {
  const metadata = { name, namespace: 'velero' }
  return world.cluster.seed(kind, { apiVersion: 'velero.io/v1', kind, metadata, spec, status: { phase: 'InProgress' } })
}

/** While an action sleeps, the world takes one turn. Time passes in jumps, and one jump could contain a whole upload. */
function actIn(world: World): ActionDeps {
  const { cluster, clock } = world
  const sleep = () => world.turn()
  const waiting = { nowMs: () => clock.nowMs(), monotonicMs: () => clock.monotonicMs(), sleep }
  return { cluster, clock: waiting, veleroNamespace: 'velero', stores, pluginVersion: '0.1.0' }
}

/** The Backup as Velero passes it on in that phase; it stays in that phase from now on. */
export async function backupIn({ world }: Velero, phase: string): Promise<LooseObject> {
  const backup = world.cluster.peek('Backup', 'velero', 'nightly')
  assert.ok(backup)
  return await world.cluster.patch('Backup', backup, { status: { phase } })
}
