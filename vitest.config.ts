import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // Of two cores vitest would leave one idle.
    maxWorkers: '100%',
    projects: [
      // Node alone: what `npm test` runs.
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/xen/lab/**', 'test/e2e/**'],
          testTimeout: 180_000,
          setupFiles: ['test/setup.ts'],
        },
      },
      // Real Prometheus and Chromium, from Debian's packages.
      { test: { name: 'e2e', include: ['test/e2e/**/*.test.ts'], testTimeout: 180_000, hookTimeout: 120_000, fileParallelism: false } },
      // Real Xen in QEMU: the sample that CI runs, and all of it.
      {
        test: {
          name: 'xen',
          include: ['test/xen/lab/{credit,credit2,sidecar,faults}.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 300_000,
          fileParallelism: false,
          // An emulated dom0 that gets no CPU time for seconds behaves as stock; twice in a row is a finding.
          retry: 1,
        },
      },
      {
        test: {
          name: 'xen-all',
          include: ['test/xen/lab/**/*.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
