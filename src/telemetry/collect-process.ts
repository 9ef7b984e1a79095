import { Counter, Gauge, type Registry } from 'prom-client';

/** Build info, and what we ourselves cost; the process metrics bear the names that every exporter gives them. */
export function collectProcess(registry: Registry, version: string): void {
  const registers = [registry];
  new Gauge({
    name: 'xthrottle_build_info',
    help: 'Always 1: the version of xthrottle and of Node.',
    labelNames: ['version', 'node'],
    registers,
  }).set({ version, node: process.versions.node }, 1);
  new Gauge({
    name: 'process_start_time_seconds',
    help: 'Start of the process, Unix time.',
    registers,
  }).set(Math.round(Date.now() / 1000 - process.uptime()));
  new Gauge({
    name: 'process_resident_memory_bytes',
    help: 'Resident memory.',
    registers,
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'User and system CPU time.',
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
}
