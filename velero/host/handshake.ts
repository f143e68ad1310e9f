// The handshake between go-plugin's client and a plugin before they use gRPC.

/** Not a secret: it only tells a process that a plugin host has started it. */
const COOKIE_NAME = 'VELERO_PLUGIN'
const COOKIE_VALUE = 'hello'
const CORE_PROTOCOL = 1
/** Velero's version of its plugin protocol, in use since 1.4. */
const VELERO_PROTOCOL = '2'

type Env = Readonly<Record<string, string | undefined>>

export type Address = { network: 'unix' | 'tcp'; address: string }

export const NOT_BY_HAND =
  'This is a plugin of Velero: Velero starts it from its plugins folder, and it does nothing by itself. Install it with `velero plugin add`.'

export function startedByVelero(env: Env): boolean {
  return env[COOKIE_NAME] === COOKIE_VALUE
}

/** False: Velero will refuse the handshake, with a message that names both versions. */
export function speaksOurVersion(env: Env): boolean {
  const versions = env['PLUGIN_PROTOCOL_VERSIONS'] ?? VELERO_PROTOCOL
  return versions.split(',').includes(VELERO_PROTOCOL)
}

/** The last field would be a certificate: Velero uses none over a local socket. */
export function handshakeLine({ network, address }: Address): string {
  return `${[CORE_PROTOCOL, VELERO_PROTOCOL, network, address, 'grpc', ''].join('|')}\n`
}
