// Settings from the environment: defaults, ranges, and errors that name the variable.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Env, integer, list, readSettings, text } from '#shared/kernel/env.ts'
import { TerminalError } from '#shared/kernel/errors.ts'

const test = suite('settings')

test('without any variable everything has its documented default', () => {
  assert.equal(readSettings({}), {
    port: 8080,
    sliceMs: 300_000,
    movers: 2,
    moverBytesPerSecond: undefined,
    leaseMs: 30_000,
    memoryBytes: 384 * 1024 * 1024,
    bindTimeoutMs: 180_000,
    snapshotTimeoutMs: 3_600_000,
    backoffUnitMs: 60_000,
    recordRetentionMs: 86_400_000,
    orphanAgeMs: 7_200_000,
    finalizerDeadlineMs: 86_400_000,
    clusterId: undefined,
    vddkDir: undefined,
    vddkTransport: 'nbdssl:nbd',
    chunkBytes: 512 * 1024,
    veleroNamespace: 'velero',
    folderStores: undefined,
    brokerUrl: undefined,
    functionUrlTemplate: undefined,
    dueMs: 30_000,
    sweepGapMs: 10_000,
    orphanGapMs: 3_000_000,
    maintenanceGapMs: 300_000,
    idleCloseMs: 45_000,
    sessionIdleMs: 86_400_000,
    nodeName: undefined,
    revision: undefined,
  })
})

test('a mover keeps to its own limit and to its share of the limit for all, whichever is smaller', () => {
  const limit = (own: string, total: string, movers: string) =>
    readSettings({
      DORMOUSE_MOVER_MIB_PER_SECOND: own,
      DORMOUSE_TOTAL_MIB_PER_SECOND: total,
      DORMOUSE_MOVERS: movers,
    }).moverBytesPerSecond
  assert.is(limit('10', '0', '4'), 10 * 1024 * 1024)
  assert.is(limit('0', '10', '4'), 2.5 * 1024 * 1024)
  assert.is(limit('10', '10', '4'), 2.5 * 1024 * 1024)
  assert.is(limit('2', '10', '4'), 2 * 1024 * 1024)
  assert.is(limit('0', '1', '4'), 0.25 * 1024 * 1024)
  assert.throws(() => limit('0', '1', '5'), /DORMOUSE_TOTAL_MIB_PER_SECOND is "1", want at least 1 for each four/)
})

test('each variable reaches its setting in its unit', () => {
  const table: [name: string, value: string, setting: keyof ReturnType<typeof readSettings>, want: unknown][] = [
    ['PORT', '9090', 'port', 9090],
    ['DORMOUSE_SLICE_SECONDS', '1', 'sliceMs', 1000],
    ['DORMOUSE_SLICE_SECONDS', ' 540 ', 'sliceMs', 540_000],
    ['DORMOUSE_MOVERS', '64', 'movers', 64],
    ['DORMOUSE_LEASE_SECONDS', '5', 'leaseMs', 5000],
    ['DORMOUSE_MEMORY_MIB', '512', 'memoryBytes', 512 * 1024 * 1024],
    ['DORMOUSE_BIND_TIMEOUT_SECONDS', '60', 'bindTimeoutMs', 60_000],
    ['DORMOUSE_SNAPSHOT_TIMEOUT_SECONDS', '60', 'snapshotTimeoutMs', 60_000],
    ['DORMOUSE_BACKOFF_UNIT_SECONDS', '2', 'backoffUnitMs', 2000],
    ['DORMOUSE_RECORD_RETENTION_SECONDS', '0', 'recordRetentionMs', 0],
    ['DORMOUSE_ORPHAN_AGE_SECONDS', '0', 'orphanAgeMs', 0],
    ['DORMOUSE_FINALIZER_DEADLINE_SECONDS', '5', 'finalizerDeadlineMs', 5000],
    ['DORMOUSE_CLUSTER_ID', 'c1', 'clusterId', 'c1'],
    ['DORMOUSE_VDDK_DIR', '/opt/vddk', 'vddkDir', '/opt/vddk'],
    ['DORMOUSE_VDDK_TRANSPORT', 'hotadd : nbd', 'vddkTransport', 'hotadd:nbd'],
    ['DORMOUSE_CHUNK_KIB', '1024', 'chunkBytes', 1024 * 1024],
    ['DORMOUSE_VELERO_NAMESPACE', 'backup', 'veleroNamespace', 'backup'],
    ['DORMOUSE_FOLDER_STORES', '/backups', 'folderStores', '/backups'],
    ['DORMOUSE_FOLDER_STORES', '/mnt/backups/', 'folderStores', '/mnt/backups'],
    ['DORMOUSE_BROKER_URL', 'http://broker/x', 'brokerUrl', 'http://broker/x'],
    ['DORMOUSE_FUNCTION_URL_TEMPLATE', 'http://d-{step}.x', 'functionUrlTemplate', 'http://d-{step}.x'],
    ['DORMOUSE_DUE_SECONDS', '0', 'dueMs', 0],
    ['DORMOUSE_SWEEP_GAP_SECONDS', '0', 'sweepGapMs', 0],
    ['DORMOUSE_ORPHAN_GAP_SECONDS', '60', 'orphanGapMs', 60_000],
    ['DORMOUSE_MAINTENANCE_GAP_SECONDS', '0', 'maintenanceGapMs', 0],
    ['DORMOUSE_IDLE_CLOSE_SECONDS', '1', 'idleCloseMs', 1000],
    ['DORMOUSE_SESSION_IDLE_HOURS', '2', 'sessionIdleMs', 7_200_000],
    ['NODE_NAME', 'node-1', 'nodeName', 'node-1'],
    ['K_REVISION', 'upload-00001', 'revision', 'upload-00001'],
  ]
  for (const [name, value, setting, want] of table) {
    assert.is(readSettings({ [name]: value })[setting], want, name)
    assert.equal(readSettings({ [name]: '' }), readSettings({}), `${name} empty`)
  }
})

test('a value outside of its range is terminal, and the error names variable, value and range', () => {
  const table: [name: string, value: string, wanted: string][] = [
    ['PORT', '65536', '0 to 65535'],
    ['DORMOUSE_SLICE_SECONDS', '0', '1 to 540'],
    ['DORMOUSE_SLICE_SECONDS', '541', '1 to 540'],
    ['DORMOUSE_SLICE_SECONDS', '1.5', '1 to 540'],
    ['DORMOUSE_SLICE_SECONDS', '1e2', '1 to 540'],
    ['DORMOUSE_SLICE_SECONDS', '-1', '1 to 540'],
    ['DORMOUSE_MOVERS', '65', '1 to 64'],
    ['DORMOUSE_LEASE_SECONDS', '4', '5 to 300'],
    ['DORMOUSE_LEASE_SECONDS', '301', '5 to 300'],
    ['DORMOUSE_CHUNK_KIB', '768', 'a power of two'],
    ['DORMOUSE_CHUNK_KIB', '128', '256 to 4096'],
    ['DORMOUSE_CLUSTER_ID', 'a/b', 'letters, digits'],
    ['DORMOUSE_VDDK_TRANSPORT', 'nbd:telepathy', 'some of file, san'],
    ['DORMOUSE_VDDK_TRANSPORT', 'nbd:nbd', 'each once'],
    ['DORMOUSE_VELERO_NAMESPACE', 'Velero', 'a namespace'],
    ['DORMOUSE_FOLDER_STORES', 'backups', 'an absolute path'],
    ['DORMOUSE_FOLDER_STORES', '/', 'an absolute path'],
    ['DORMOUSE_FOLDER_STORES', '/backups/../etc', 'an absolute path'],
    ['DORMOUSE_BROKER_URL', 'broker', 'http'],
    ['DORMOUSE_BROKER_URL', 'ftp://broker', 'http'],
    ['DORMOUSE_FUNCTION_URL_TEMPLATE', 'http://upload', '{step}'],
  ]
  for (const [name, value, wanted] of table) {
    const error = refusal({ [name]: value })
    assert.is(error.reason, 'InvalidSettings')
    assert.match(error.message, `environment variable ${name} is "${value}"`)
    assert.match(error.message, wanted)
  }
})

test('single getters', () => {
  assert.is(text({ A: ' x ' }, 'A'), 'x')
  assert.is(text({}, 'A'), undefined)
  assert.is(integer({ A: '007' }, 'A', 1, { min: 0, max: 9 }), 7)
  assert.equal(list({ A: 'x, y' }, 'A', [], ['x', 'y']), ['x', 'y'])
  assert.equal(list({}, 'A', ['x'], ['x', 'y']), ['x'])
})

function refusal(env: Env): TerminalError {
  try {
    readSettings(env)
  } catch (error) {
    if (error instanceof TerminalError) return error
    throw error
  }
  throw new Error(`${JSON.stringify(env)} was taken`)
}

test.run()
