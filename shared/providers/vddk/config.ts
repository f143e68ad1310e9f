// The settings that VDDK takes: its config file, and the list of transports (docs/development/vddk.md#config-file).

import { TerminalError } from '#shared/kernel/errors.ts'

/** The fields of a Kubernetes ConfigMap that are needed here. */
export type ConfigMapLike = {
  metadata?: { name?: string | undefined; labels?: Record<string, string> | undefined } | undefined
  data?: Record<string, string> | undefined
}

/** The label by which the Velero Plugin for vSphere finds the ConfigMap with VDDK's settings in Velero's namespace. */
export const VDDK_CONFIG_LABEL = 'velero.io/vddk-config'
export const VDDK_CONFIG_LABEL_VALUE = 'vix-disk-lib'

/** The encrypted transport first, then the plain one. SAN and HotAdd need more than a pod has. */
const DEFAULT_TRANSPORT_MODES = 'nbdssl:nbd'
const TRANSPORTS = new Set(['file', 'san', 'hotadd', 'nbd', 'nbdssl'])

/** The AIO buffers that VMware recommends for VDDK 7.0.3 and later: 16 x 64 KiB, four of them. Above 16 MiB Open fails. */
const DEFAULTS: Readonly<Record<string, string>> = {
  'vixDiskLib.nfc.LogLevel': '1',
  'vixDiskLib.transport.LogLevel': '3',
  'vixDiskLib.nfcAio.Session.BufSizeIn64KB': '16',
  'vixDiskLib.nfcAio.Session.BufCount': '4',
}
const MOST_AIO_UNITS = 256
const MOST: Readonly<Record<string, number>> = { 'vixDiskLib.nfc.LogLevel': 4, 'vixDiskLib.transport.LogLevel': 6 }

/**
 * The config file's text. `maps`: all ConfigMaps of Velero's namespace, or only the labelled ones; more than one labelled map is an
 * error, as with the Velero Plugin for vSphere. Their data keys are VDDK's own names and take precedence over the defaults.
 */
export function renderVddkConfig(maps: readonly ConfigMapLike[], tmpDirectory: string): string {
  const chosen = labelledMap(maps)
  const settings: Record<string, string> = { ...DEFAULTS, ...chosen?.data, tmpDirectory }
  const name = chosen?.metadata?.name ?? 'defaults'
  for (const [key, value] of Object.entries(settings)) checkSetting(name, key, value.trim())
  checkAioBuffers(name, settings)
  return Object.entries(settings)
    .map(([key, value]) => `${key}=${value.trim()}\n`)
    .join('')
}

function labelledMap(maps: readonly ConfigMapLike[]): ConfigMapLike | undefined {
  const labelled = maps.filter((map) => map.metadata?.labels?.[VDDK_CONFIG_LABEL] === VDDK_CONFIG_LABEL_VALUE)
  if (labelled.length <= 1) return labelled[0]
  const names = labelled.map((map) => map.metadata?.name ?? '?').sort()
  throw new TerminalError(
    'VddkConfigAmbiguous',
    `more than one ConfigMap has the label ${VDDK_CONFIG_LABEL}=${VDDK_CONFIG_LABEL_VALUE}: ${names.join(', ')}; keep one`,
  )
}

function checkSetting(map: string, key: string, value: string): void {
  if (!/^[A-Za-z][\w.]*$/.test(key)) throw invalid(map, `${key}: not a name of a VDDK setting`)
  if (value === '' || /[\r\n\0]/.test(value)) throw invalid(map, `${key}: the value must be one line and not empty`)
  const most = MOST[key]
  if (most !== undefined && !(isWhole(value) && Number(value) <= most))
    throw invalid(map, `${key}=${value}: 0 to ${most}`)
}

function checkAioBuffers(map: string, settings: Record<string, string>): void {
  const size = settings['vixDiskLib.nfcAio.Session.BufSizeIn64KB']?.trim() ?? ''
  const count = settings['vixDiskLib.nfcAio.Session.BufCount']?.trim() ?? ''
  const product = Number(size) * Number(count)
  if (isWhole(size) && isWhole(count) && product >= 1 && product <= MOST_AIO_UNITS) return
  throw invalid(
    map,
    `nfcAio buffers: ${size} x 64 KiB x ${count} must be between 64 KiB and 16 MiB, or no disk can be opened`,
  )
}

function isWhole(value: string): boolean {
  return /^\d{1,9}$/.test(value)
}

function invalid(map: string, problem: string): TerminalError {
  return new TerminalError('VddkConfigInvalid', `ConfigMap ${map} with VDDK settings: ${problem}`)
}

/** The value of DORMOUSE_VDDK_TRANSPORT: a colon-separated list that VDDK tries in order. */
export function transportModes(setting: string | undefined): string {
  if (setting === undefined || setting.trim() === '') return DEFAULT_TRANSPORT_MODES
  const modes = setting.trim().split(':')
  const unknown = modes.find((mode) => !TRANSPORTS.has(mode))
  if (unknown === undefined && new Set(modes).size === modes.length) return modes.join(':')
  throw new TerminalError(
    'VddkConfigInvalid',
    `DORMOUSE_VDDK_TRANSPORT=${setting}: each of ${[...TRANSPORTS].join(', ')} at most once, separated by colons`,
  )
}
