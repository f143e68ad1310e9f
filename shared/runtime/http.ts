// Node's HTTP module, without the modules that an import of it loads.

/**
 * `import … from 'node:http'` reads every export once, and three of them (WebSocket and its events) load Node's own undici:
 * 30 ms and 13 MiB of a cold start for nothing. `getBuiltinModule` does not load it.
 */
export const http = process.getBuiltinModule('node:http')
