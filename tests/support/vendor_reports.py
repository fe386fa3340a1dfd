"""Reports in the formats of the vendors' HLS tools."""

from __future__ import annotations


def csynth(top: str, dsp: str, *, latency: str = "3", lut: int = 90, n_dsp: int = 2, uram: str = "0") -> str:
    """A report of C synthesis: Vivado HLS counts DSP48E, Vitis HLS DSP and names its flow."""
    version, flow = ("2019.2.1", "") if dsp == "DSP48E" else ("2023.2", "<FlowTarget>vivado</FlowTarget>")
    least = "2" if latency.isdigit() else latency
    return f"""<profile>
<ReportVersion><Version>{version}</Version></ReportVersion>
<UserAssignments><unit>ns</unit><ProductFamily>zynquplus</ProductFamily><Part>xczu9eg-ffvb1156-2-e</Part>
<TopModelName>{top}</TopModelName><TargetClockPeriod>5.00</TargetClockPeriod>
<ClockUncertainty>1.35</ClockUncertainty>{flow}</UserAssignments>
<PerformanceEstimates><PipelineType>yes</PipelineType>
<SummaryOfTimingAnalysis><unit>ns</unit><EstimatedClockPeriod>3.251</EstimatedClockPeriod></SummaryOfTimingAnalysis>
<SummaryOfOverallLatency><unit>clock cycles</unit><Best-caseLatency>{least}</Best-caseLatency>
<Average-caseLatency>{latency}</Average-caseLatency><Worst-caseLatency>{latency}</Worst-caseLatency>
<Worst-caseRealTimeLatency>15.000 ns</Worst-caseRealTimeLatency>
<Interval-min>{latency if latency == "undef" else 1}</Interval-min>
<Interval-max>{latency if latency == "undef" else 1}</Interval-max></SummaryOfOverallLatency>
</PerformanceEstimates>
<AreaEstimates><Resources><BRAM_18K>1</BRAM_18K><{dsp}>{n_dsp}</{dsp}><FF>120</FF><LUT>{lut}</LUT>{
        uram and f"<URAM>{uram}</URAM>"
    }</Resources>
<AvailableResources><BRAM_18K>1824</BRAM_18K><{dsp}>2520</{dsp}><FF>548160</FF><LUT>274080</LUT></AvailableResources>
</AreaEstimates></profile>
"""
