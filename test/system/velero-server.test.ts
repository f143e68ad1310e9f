// The environment's Velero: the real server and command line, beside event sources, behind proxies, with a plugin that uses Dormouse's host.

import { chmod, mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { gunzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Environment } from '#test/environment/environment.ts'
import { startEcho, until } from '#test/environment/fixtures/echo/start.ts'
import { accepts } from '#test/environment/process/ports.ts'
import { PROJECT } from '#test/environment/process/tools.ts'
import { secret } from '#test/environment/seed.ts'
import { aLocation } from '#test/environment/storage/location.ts'
import type { VeleroServer } from '#test/environment/velero/server.ts'
import { KEYS_OF_LOCATIONS, VELERO_PREFIX } from '#test/environment/velero/start.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { quickStart } from '../../hack/bundling.ts'

const PLUGIN = 'tiny-plugin.mjs'
const server = suite('the environment’s Velero')
let environment: Environment
let velero: VeleroServer
let folder = ''

server.before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'velero-plugin-'))
  environment = await startEcho({ faults: true, velero: { plugins: [await makePlugin()] } })
  velero = environment.parts.velero!
})
server.after(async () => {
  await environment.stop()
  await rm(folder, { recursive: true })
})

/** One executable file, as Velero requires. */
async function makePlugin(): Promise<string> {
  const outfile = path.join(folder, PLUGIN)
  const js = `#!${process.execPath}\n${quickStart.banner?.['js']}`
  const entryPoints = [path.join(PROJECT, 'test/unit/velero/fixtures/tiny-plugin.ts')]
  await build({ ...quickStart, splitting: false, banner: { js }, entryPoints, outfile, logLevel: 'warning' })
  await chmod(outfile, 0o755)
  return outfile
}

async function phaseOf(kind: 'Backup' | 'Restore', name: string): Promise<string> {
  const object = await environment.api.get({ apiVersion: 'velero.io/v1', kind, namespace: 'velero', name })
  return object?.['status']?.phase
}

const aConfigMap = (namespace: string): LooseObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'settings', namespace },
  data: { colour: 'green' },
})

server('it runs although an event source has port 8080 of this machine', async () => {
  await until('an event source has the port', () => accepts(8080))
  assert.ok(velero.running)
  assert.match(await environment.velero('version'), /Server:\s+Version: v1\.18\.3/)
})

server('it has the plugins that it was given, and finds the object store', async () => {
  const plugins = await environment.velero('plugin', 'get')
  for (const name of ['velero.io/aws', 'dormouse.dev/tiny-backup']) assert.match(plugins, name)
  assert.match(await environment.velero('backup-location', 'get'), /default\s+aws\s+dormouse\/velero\s+Available/)
})

server('a namespace is backed up, deleted and restored under another name', async () => {
  await environment.createNamespace('app')
  await environment.api.apply(aConfigMap('app'))
  await environment.velero('backup', 'create', 'first', '--include-namespaces', 'app', '--wait')
  assert.is(await phaseOf('Backup', 'first'), 'Completed')
  await environment.kubectl('delete', 'namespace', 'app')

  const mapping = ['--namespace-mappings', 'app:elsewhere']
  await environment.velero('restore', 'create', 'back', '--from-backup', 'first', ...mapping, '--wait')
  assert.is(await phaseOf('Restore', 'back'), 'Completed')
  const restored = await environment.api.get({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    namespace: 'elsewhere',
    name: 'settings',
  })
  assert.equal(restored?.['data'], { colour: 'green' })
  assert.match(await environment.velero('backup', 'logs', 'first'), 'settings')
  assert.match(await environment.velero('backup', 'describe', 'first', '--details'), 'app/settings')
})

server('what Velero itself stores lies in the bucket in plain, Secrets too, unless they are left out', async () => {
  await environment.createNamespace('plain')
  await environment.api.apply(secret('db', { password: 'told to nobody' }, 'plain'))
  const value = Buffer.from('told to nobody').toString('base64')
  for (const [name, flags, holds] of [
    ['with-secrets', [], true],
    ['without-secrets', ['--exclude-resources', 'secrets'], false],
  ] as const) {
    await environment.velero('backup', 'create', name, '--include-namespaces', 'plain', ...flags, '--wait')
    const tarball = await environment.s3.read(`${VELERO_PREFIX}/backups/${name}/${name}.tar.gz`)
    assert.is(gunzipSync(tarball).includes(value), holds, name)
  }
})

server('its calls pass the proxies under its name', () => {
  const points = environment.parts.faults!.plan.points()
  assert.ok(points.includes('velero: PATCH backups phase=InProgress'), points.join('\n'))
  assert.ok(points.includes('velero: PUT velero/'), points.join('\n'))
})

server('a second environment’s Velero runs beside it, and restores from its bucket', async () => {
  const { s3 } = environment
  const other = await startEcho({ adapters: false, velero: { reach: [s3.shownUrl], env: KEYS_OF_LOCATIONS } })
  try {
    await other.api.apply(secret('shared', { cloud: s3.credentialsText() }))
    const shared = { prefix: VELERO_PREFIX, accessMode: 'ReadOnly', credentials: 'shared' } as const
    await other.api.apply(aLocation(s3, 'shared', shared))
    await other.waitFor(
      'BackupStorageLocation',
      'velero',
      'shared',
      (location) => location?.['status']?.phase === 'Available',
    )
    await other.parts.velero?.findBackups()
    await other.waitFor('Backup', 'velero', 'first', (backup) => backup?.['status']?.phase === 'Completed')
    await other.velero('restore', 'create', 'back', '--from-backup', 'first', '--wait')
    const restored = await other.api.get({ apiVersion: 'v1', kind: 'ConfigMap', namespace: 'app', name: 'settings' })
    assert.equal(restored?.['data'], { colour: 'green' })
  } finally {
    await other.stop()
  }
})

server('an operation outlives kill -9 of the server, and the plugin’s processes do not', async () => {
  const claim = { metadata: { name: 'data', namespace: 'shop', labels: { app: 'shop' } } }
  await environment.createNamespace('shop')
  await environment.api.create({
    ...{ apiVersion: 'v1', kind: 'PersistentVolumeClaim', ...claim },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Mi' } }, storageClassName: 'none' },
  })
  const limits = ['--item-operation-timeout', '12s', '--snapshot-volumes=false']
  await environment.velero('backup', 'create', 'waits', '--include-namespaces', 'shop', ...limits)
  const waits = async () => (await phaseOf('Backup', 'waits')) === 'WaitingForPluginOperations'
  await until('the operation has begun', waits)

  await until('the plugin runs', () => velero.pluginPids(PLUGIN).length > 0)
  await velero.down()
  assert.equal([velero.running, velero.pluginPids(PLUGIN)], [false, []])
  await velero.up()
  await until('the plugin is asked again', () => velero.pluginPids(PLUGIN).length > 0)
  assert.ok(await waits())
  const isOver = (backup: LooseObject | undefined) =>
    /^(Completed|PartiallyFailed|Failed)$/.test(backup?.['status']?.phase)
  const { object } = await environment.waitFor('Backup', 'velero', 'waits', isOver)
  const { phase, backupItemOperationsAttempted, backupItemOperationsFailed } = object['status']
  assert.equal([phase, backupItemOperationsAttempted, backupItemOperationsFailed], ['PartiallyFailed', 1, 1])
  assert.match(await environment.velero('backup', 'describe', 'waits', '--details'), 'Asynchronous action timed out')
})
server.run()
