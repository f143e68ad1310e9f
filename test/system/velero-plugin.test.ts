// The shipped file of Velero's plugin against the real API server and functions, driven by the stand-in for go-plugin's client.
// Velero itself does not take part.

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KINDS } from '#shared/api/kinds.ts'
import { deleteName } from '#shared/domain/delete-request.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { noise, writePieces } from '#test/environment/storage/content.ts'
import { aLocation } from '#test/environment/storage/location.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { killLeftPlugins, type Plugin, startPlugin } from '#test/unit/velero/go-plugin-client.ts'
import { actionNames } from '../../velero/domain/names.ts'
import { type HostileCall, hostileCall } from './support/hostile-calls.ts'
import { builtPlugin } from './support/plugin-file.ts'

const MIB = 2 ** 20
const CLAIM = { namespace: 'shop', name: 'orders' }
const NAMES = actionNames()
const BACKUPPER = NAMES.backupper

const driven = suite("Velero's plugin over the functions")
let environment: Environment

driven.before(async () => {
  // The upload may come before its repository, and tries again after one unit.
  environment = await startEnvironment({ env: { DORMOUSE_BACKOFF_UNIT_SECONDS: '1' } })
})
driven.after(async () => {
  killLeftPlugins()
  await environment.stop()
})

const start = () => startPlugin({ command: [builtPlugin()], args: ['--kubeconfig', environment.kubeconfig] })

/** As Velero does: one process for a run, and another one each time it asks for the progress of an operation. */
async function inPlugin<T>(act: (plugin: Plugin) => Promise<T>): Promise<T> {
  const plugin = await start()
  const done = await act(plugin)
  assert.is((await plugin.shutdown()).code, 0)
  plugin.log() // fails if Velero could not read a line
  return done
}

const aBackup = (phase: string): LooseObject => ({
  apiVersion: 'velero.io/v1',
  kind: 'Backup',
  metadata: { name: 'nightly', namespace: 'velero', uid: BACKUP_UID },
  spec: { storageLocation: 'default', itemOperationTimeout: '1h0m0s' },
  status: { phase },
})
const BACKUP_UID = randomUUID()

type Progress = { completed: boolean; err: string; nCompleted: number; nTotal: number; operationUnits: string }

async function progressOf(operationID: string): Promise<Progress> {
  const backup = JSON.stringify(aBackup('WaitingForPluginOperations'))
  const ask = (plugin: Plugin) =>
    plugin.call('/v2.BackupItemAction/Progress', { plugin: BACKUPPER, operationID, backup })
  return (await inPlugin(ask))['progress'] as Progress
}

driven('a claim is backed up, and its operation is over when the data is in the bucket, not before', async () => {
  await environment.api.apply(aLocation(environment.s3, 'default', { prefix: '' }))
  const volume = await environment.createVolume({ ...CLAIM, sizeBytes: 64 * MIB })
  await writePieces(volume.file, [{ offsetBytes: 0, data: noise('orders', 8 * MIB) }])
  const claim = await environment.api.get({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', ...CLAIM })
  const item = JSON.stringify({ ...claim, apiVersion: 'v1', kind: 'PersistentVolumeClaim' })
  const backup = JSON.stringify(aBackup('InProgress'))
  const done = await inPlugin((plugin) =>
    plugin.call('/v2.BackupItemAction/Execute', { plugin: BACKUPPER, item, backup }),
  )
  const operationID = String(done['operationID'])
  const [namespace, name = ''] = operationID.split('/')
  assert.is(namespace, CLAIM.namespace)

  let progress = await progressOf(operationID)
  while (!progress.completed) {
    await sleep(1000)
    progress = await progressOf(operationID)
  }
  assert.is(progress.err, '')
  assert.equal([progress.nCompleted, progress.nTotal, progress.operationUnits], [8 * MIB, 8 * MIB, 'bytes'])
  const roots = await environment.bucketObjects('plugins/dormouse/roots/')
  assert.is(roots.length, 1)
  const { object } = await environment.waitFor('Snapshot', namespace, name, (snapshot) => snapshot !== undefined)
  assert.is(object['status'].phase, 'Uploaded')

  const stored = await inPlugin((plugin) => {
    const finalizing = JSON.stringify(aBackup('Finalizing'))
    return plugin.call('/v2.BackupItemAction/Execute', { plugin: BACKUPPER, item, backup: finalizing })
  })
  assert.is(stored['operationID'], '')
  await inPlugin((plugin) =>
    plugin.call('/generated.DeleteItemAction/Execute', { plugin: NAMES.deleter, item: stored['item'] ?? '', backup }),
  )
  const deletions = await environment.api.list(KINDS.DeleteSnapshot.apiVersion, 'DeleteSnapshot', 'velero')
  assert.equal(
    deletions.map((deletion) => [deletion.metadata.name, deletion['status'].phase]),
    [[deleteName(object.metadata.uid), 'Completed']],
  )
})

driven('whatever is sent, each line on stderr is one that Velero can read, and the plugin goes on', async () => {
  const plugin = await startPlugin({
    command: [builtPlugin()],
    args: ['--log-level=debug', '--kubeconfig', environment.kubeconfig],
  })
  let answered = 0
  const send = async ({ path, bytes, fields }: HostileCall) => {
    const sent = bytes === undefined ? plugin.call(path, fields) : plugin.callBytes(path, Buffer.from(bytes))
    await sent.then(
      () => answered++,
      ({ code }) => assert.is(code, 2, 'UNKNOWN, with words'),
    )
  }
  await fc.assert(fc.asyncProperty(hostileCall, send), { numRuns: 400, endOnFailure: true })
  assert.equal(await plugin.call('/grpc.health.v1.Health/Check', { service: 'plugin' }), { status: 1 })
  await plugin.shutdown()
  const lines = plugin.log()
  assert.ok(lines.length > 20 && answered > 100, `${lines.length} lines, ${answered} answers`)
  assert.ok(
    lines.some((line) => /\(cut, \d+ characters\)/.test(JSON.stringify(line))),
    'one was too long',
  )
  assert.is(plugin.stdout.length, 1)
})

driven.run()
