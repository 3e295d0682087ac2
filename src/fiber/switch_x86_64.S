/* The fiber switch for x86-64, System V ABI. See switch.h.
 *
 * The way out is a jump, not a ret: the return predictor would be wrong every time. There is no CET note,
 * so the linker drops the shadow-stack mark from the program, which is right: these stacks have none. */
	.text

	.globl	fiber_switch
	.hidden	fiber_switch
	.type	fiber_switch, @function
	.p2align 4
fiber_switch:
	.cfi_startproc
	endbr64
	pushq	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbp, 0
	pushq	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbx, 0
	pushq	%r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r12, 0
	pushq	%r13
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r13, 0
	pushq	%r14
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r14, 0
	pushq	%r15
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r15, 0
	movq	%rsp, (%rdi)
	movq	%rsi, %rsp		/* the same layout on the other stack: the CFI stays true */
	popq	%r15
	.cfi_adjust_cfa_offset -8
	.cfi_restore r15
	popq	%r14
	.cfi_adjust_cfa_offset -8
	.cfi_restore r14
	popq	%r13
	.cfi_adjust_cfa_offset -8
	.cfi_restore r13
	popq	%r12
	.cfi_adjust_cfa_offset -8
	.cfi_restore r12
	popq	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbx
	popq	%rbp
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbp
	popq	%rcx
	.cfi_adjust_cfa_offset -8
	.cfi_register rip, rcx
	jmpq	*%rcx
	.cfi_endproc
	.size	fiber_switch, . - fiber_switch

	.globl	fiber_boot
	.hidden	fiber_boot
	.type	fiber_boot, @function
	.p2align 4
fiber_boot:
	.cfi_startproc
	.cfi_undefined rip		/* the end of every fiber's backtrace */
	xorl	%ebp, %ebp
	call	fiber_main
	ud2
	.cfi_endproc
	.size	fiber_boot, . - fiber_boot

	.section .note.GNU-stack, "", @progbits
