// Node's HTTP module, without what an import of it drags along.

/**
 * `import … from 'node:http'` reads every export once, and three of them (WebSocket and its events) load Node's own undici
 * at that: 30 ms and 13 MiB of a cold start for nothing. Asked for in this way, the module comes without them.
 */
export const http = process.getBuiltinModule('node:http')
